"""The commands of `lantern`, one file each: parse, call, print."""
