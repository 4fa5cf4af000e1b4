"""The reader's child processes: decode, inference, export, trial; and how the reader talks to them."""
