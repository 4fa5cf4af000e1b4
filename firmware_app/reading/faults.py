"""Faults of the box, each logged once and not again at every check."""

from __future__ import annotations

import logging

log = logging.getLogger("lantern.reader")


class Faults:
    """The sentences logged since there was last no fault."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def say(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            log.error("%s", sentence)

    def forget(self) -> None:
        """All is well: the next fault is news, also when it is the same one."""
        self._said.clear()
