"""Many modules: one for each page, or for each way in which a page may fail."""
