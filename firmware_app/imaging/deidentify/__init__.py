"""De-identification for export, PS3.15 Annex E: what leaves names nobody.

`header` walks the data set (`profile` holds the standard's table, `kept` what may stay beside it, `uids` the new
identities), `pixels` blacks what lies around an ultrasound's sector, `text` looks for letters in what is left, and
`writing` puts it on the disk, a frame at a time.
"""
