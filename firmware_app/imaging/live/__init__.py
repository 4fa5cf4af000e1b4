"""Frames of a running examination: from a clip that plays, a frame grabber or a network camera, the newest first."""
