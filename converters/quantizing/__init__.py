"""Model files in FP16 and INT8, and whether each is still right and quick."""
