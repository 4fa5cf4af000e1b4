"""Model packs: their manifest, their place on disk, their installation and their integrity.

Many modules: one for each thing that a pack promises, and one for each step on its way to the box; the signed folder in
which software travels, too, is here beside the packs for which it was made.
"""
