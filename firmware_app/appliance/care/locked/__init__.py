"""The encrypted backup for a replacement box, in a folder on a clinic's disk or share, and restoring from it.

exchange.db and the box's keys are left out on purpose: the replacement has an identity and a stream of its own, so the
hospital can refuse the old box and counts nothing twice (docs/decisions/locked-backup.md).
"""
