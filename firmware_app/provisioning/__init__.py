"""How a box gets its identity: from a person, a page or a signed file."""
