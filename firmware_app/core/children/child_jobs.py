"""Background jobs for a child: sent one after the other, and looked after between more urgent work."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from firmware_app.core.children.child import START_SECONDS, Child, ChildLost
from firmware_app.core.children.wire import ChildMessage

_HAND_OVER_SECONDS: Final = 5.0  # jobs and answers are a few hundred bytes


class ChildJobs:
    """*jobs* done by *child*, each within *seconds*.  `is_done` waits only if asked to; `stop` ends it at any time."""

    def __init__(self, child: Child, jobs: Sequence[Mapping[str, Any]], seconds: float) -> None:
        self._child, self._jobs, self._seconds = child, list(jobs), seconds
        self._deadline = time.monotonic() + START_SECONDS
        self._ready = False
        self.answers: list[ChildMessage] = []

    @property
    def child(self) -> Child:
        return self._child

    def is_done(self, patience: float = 0.0) -> bool:
        """Whether every job has been answered; waits up to *patience* seconds for the child's next message.

        Raises `ChildLost`, or `TimeoutError` after killing a child that did not finish a job in time.
        """
        while self._child.has_spoken(patience):
            answer = self._child.receive(_HAND_OVER_SECONDS)
            if self._ready:
                self.answers.append(answer)
            self._ready = True
            if len(self.answers) == len(self._jobs):
                return True
            self._child.send(self._jobs[len(self.answers)], seconds=_HAND_OVER_SECONDS)
            self._deadline = time.monotonic() + self._seconds
        if time.monotonic() > self._deadline:
            self._child.kill()
            if not self._ready:
                raise ChildLost("it did not start")
            raise TimeoutError
        return False

    def stop(self) -> None:
        """End the child."""
        self._child.kill()
