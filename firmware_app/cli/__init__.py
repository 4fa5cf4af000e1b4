"""The command `lantern`: one file a verb."""
