"""Reading while the examination runs: the grab child's other side, and the loop from frame to reading."""
