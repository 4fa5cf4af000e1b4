"""A signed repository (TUF) of finished packs, and one of the box's software, which boxes install from."""
