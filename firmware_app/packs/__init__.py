"""Model packs: what one is, where it stands, and whether it is still the one that was shipped."""
