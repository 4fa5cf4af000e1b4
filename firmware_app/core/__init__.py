"""What every part of the box stands on: settings, messages, time, SQLite access, files, locks and child processes."""
