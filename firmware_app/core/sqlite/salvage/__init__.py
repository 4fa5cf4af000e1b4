"""Reads the rows that are left in a damaged SQLite file.  The box and the hospital rebuild their databases with it."""
