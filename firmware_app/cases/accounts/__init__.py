"""accounts.db with the people who may log in, and the audit chain."""
