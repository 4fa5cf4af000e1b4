"""inbox.db: what the boxes told, counted once."""
