"""exchange.db: the only way between the clinic and the outside."""
