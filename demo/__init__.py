"""`make demo`: a temporary clinic and hospital on this machine, set up by the commands that a person would use.

No code of the hospital or the viewer is imported: everything runs as a process of its own, on 127.0.0.1 and free ports,
in one temporary folder that is removed at the end.
"""
