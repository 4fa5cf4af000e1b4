"""How each pack does at this clinic, machine by machine: what pages and `lantern calibration` show and change.

The rows are `store.calibration`'s, the arithmetic is `statistics`', and here both meet the packs of the box.
"""
