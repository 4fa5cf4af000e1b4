"""De-identification for export (PS3.15 Annex E): no exported file identifies a patient.

`header` cleans the data set (`profile` holds the standard's table, `kept` what else may stay, `uids` the new
identities), `pixels` blackens everything outside an ultrasound's sector, `text` looks for letters in the rest, and
`writing` writes the file, a frame at a time.
"""
