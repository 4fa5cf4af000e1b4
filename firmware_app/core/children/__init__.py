"""Confined child processes of the box: started, spoken to over a pipe, and limited in memory and time."""
