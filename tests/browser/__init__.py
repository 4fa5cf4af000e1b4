"""The viewer's pages in Chromium.

Many modules: one for each page or way through the pages.
"""
