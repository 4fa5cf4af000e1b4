"""`make install` and `make uninstall`: from a plain Debian to a box, and back.

Needs nothing but Python's own library, for it runs before anything is installed.  Each step looks first and does only
what is missing, so it may be cut off at any instant and started again, and a second run changes nothing.
"""
