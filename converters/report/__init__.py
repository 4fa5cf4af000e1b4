"""The report of a pack: one HTML page that needs nothing beside itself, in Chinese and English.

:mod:`.page` writes it and needs the extra ``convert`` (Matplotlib). The sections that are written anew in a finished
report (:mod:`.weak_section`, :mod:`.elsewhere_section`) do not, so that cards can be written without it.
"""
