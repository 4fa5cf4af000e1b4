"""The box's own software: the signed channel, the file that renews a flashed box, and why a slot was left."""
