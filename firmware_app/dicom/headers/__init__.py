"""What a file's header tells without its pixels: complete or cut, its kind, the patient, the part of the body.

Many modules: one for each thing that a header tells.
"""
