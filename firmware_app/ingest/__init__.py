"""The door by which an image becomes ours, the watched folder and the USB stick."""
