"""From model files to a pack: description, card, measurement, signed repository."""
