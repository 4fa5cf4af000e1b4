"""How each pack performs at this clinic: confirmed cases, local operating points, drift and suspension."""
