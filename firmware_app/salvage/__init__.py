"""What can still be read of a damaged SQLite file.  The box and the hospital both rebuild their databases from it."""
