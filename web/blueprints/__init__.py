"""The pages of the viewer, one module for each part of it.

Many modules: one for each page or group of pages.
"""
