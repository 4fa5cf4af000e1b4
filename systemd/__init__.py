"""What a box hands to systemd, and `build`, which makes packages and images of it."""
