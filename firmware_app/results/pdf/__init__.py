"""A case as a PDF of one or two pages, for paper and for archives.

`contents` says what stands on it, `plates` draws the pictures, `fonts` finds the letters, and `typesetting` has Typst
lay it all out.  `making` does that in a process of its own, and keeps what a doctor has signed.
"""
