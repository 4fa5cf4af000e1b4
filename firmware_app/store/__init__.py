"""The box's storage: image files, the databases, and the access rights to them."""
