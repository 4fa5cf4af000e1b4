"""The hospital's end of the line: broker, receiver, its clock."""
