"""The machine around the readings: is it well, and if not, what should a person do."""
