"""Model packs: their manifest, their place on disk, their installation and their integrity.

Many modules: the signed folder that software travels in, too, is here beside the packs for which it was made.
"""
