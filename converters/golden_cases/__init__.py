"""Golden cases: images of no patient, with the answers that a pack must give in every runtime."""
