"""What a file says of itself without its pixels: whole or cut, what it is, whose, of which part of the body."""
