"""What is wrong with the box, said once in the log and not again with every look at it."""

from __future__ import annotations

import logging

log = logging.getLogger("lantern.reader")


class Faults:
    """The sentences that were said since all was last well."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def say(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            log.error("%s", sentence)

    def forget(self) -> None:
        """All is well: the next fault is news, also when it is the same one."""
        self._said.clear()
