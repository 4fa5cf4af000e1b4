"""The clinic's archives (PACS) as the box dials them: C-ECHO, C-STORE, Storage Commitment.

`connection` is one association, `line` the work for one archive.  Nothing here opens an image.
"""
