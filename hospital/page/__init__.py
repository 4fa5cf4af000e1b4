"""The page of whoever is on duty."""
