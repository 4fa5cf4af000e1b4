"""The box looks after itself: prepared at boot, backed up, cleared of old cases."""
