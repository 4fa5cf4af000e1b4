"""The clinical database: images, cases, readings, the worklist, patients, remarks, accounts and the audit trail."""
