"""A case as a PDF of one or two pages, for paper and for archives.

`contents` has the texts, `plates` draws the pictures, and `typesetting` finds the fonts and has Typst lay it all out.
`results.rendering` does that in a child process and keeps what a doctor has signed.
"""
