"""A signed repository of finished packs (TUF), which boxes install from."""
