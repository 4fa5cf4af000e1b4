"""The doctor's viewer.  The first form of the box has none yet; the pages arrive with the second milestone."""
