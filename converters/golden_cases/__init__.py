"""Golden cases: images of nobody with the answers that a pack must give."""
