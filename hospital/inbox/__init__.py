"""inbox.db: what the boxes have sent, counted once."""
