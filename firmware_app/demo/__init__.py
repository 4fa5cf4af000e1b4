"""`make demo`: a throw-away clinic and hospital on this machine, set up by the commands that a person would use.

Nothing of the hospital's or the viewer's code is imported: everything runs as a process of its own, on 127.0.0.1 and
free ports, below one temporary folder that goes away with them.
"""
