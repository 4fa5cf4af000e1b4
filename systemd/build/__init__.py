"""The builders of `make wheels`, `make deb`, `make apt` and `make image`: they run from a checkout, never on a box."""
