"""A pack on films of other places than its own: asked as the box asks it, with the box's refusals. Needs no PyTorch."""
