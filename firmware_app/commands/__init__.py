"""One file a verb of `lantern`.

Many modules: one for each verb.
"""
