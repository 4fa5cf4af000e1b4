"""Install and remove the box on a machine."""
