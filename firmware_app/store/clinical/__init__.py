"""clinical.db: images, cases, readings, worklist."""
