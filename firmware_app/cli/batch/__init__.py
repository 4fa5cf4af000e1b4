"""What `lantern read --out` keeps in its folder: a folder for each case, tables over all, and what was read before."""
