"""One case in the clothes each reader needs."""
