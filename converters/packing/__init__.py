"""From model files to a pack: typicality, manifest, card, measured rows, bill of materials."""
