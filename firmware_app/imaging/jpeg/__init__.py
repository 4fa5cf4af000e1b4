"""JPEG and JPEG 2000: decoded by libraries, checked for lost data."""
