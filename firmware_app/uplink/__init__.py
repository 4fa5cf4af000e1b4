"""The sealed line to the hospital: what may travel (summary), its seal (envelope), its carrier (publisher)."""
