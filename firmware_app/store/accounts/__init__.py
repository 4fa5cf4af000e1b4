"""accounts.db: who may log in; and the audit chain."""
