"""Model files in FP16 and INT8, and whether each is still accurate and fast."""
