"""From bytes to the frames and tensors that a model may see.

Many modules: one for each step that needs no other of its kind; families of them have folders.
"""
