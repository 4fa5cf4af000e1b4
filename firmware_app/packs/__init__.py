"""Model packs: their manifest, their place on disk, their installation and their integrity."""
