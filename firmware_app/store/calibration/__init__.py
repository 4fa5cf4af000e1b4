"""Local calibration: what the clinic confirms of its films, and what follows for a pack on one imaging machine.

Local calibration is the comparison of a pack's answers with the clinic's own truths, and the threshold that follows; it
has nothing to do with that of a score or of INT8.  docs/decisions/local-calibration.md says why it is as it is.
"""
