"""The county hospital's receiving end."""
