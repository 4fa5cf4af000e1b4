"""From stored values to greys and colours for display (PS3.3 C.7.6.3, C.11)."""
