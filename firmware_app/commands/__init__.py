"""The verbs of `lantern`, one file each: parse, call, print."""
