"""How the box opens a SQLite file, and how it notices that one is damaged."""
