"""clinical.db: images, cases, readings, worklist.

Many modules: one for each group of tables.
"""
