"""The box's health for the box page: `lantern doctor` run beside the viewer and remembered.

The doctor tries the inference runtimes, which the viewer never loads. So it runs as a process of its own, one at a time
and at most once a minute.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from firmware_app.core import clock

log = logging.getLogger("lantern.viewer")

_FRESH_S: Final = 60.0
_LIMIT_S: Final = 60.0
_END_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check: ``ok``, ``warn`` or ``fail``, and by language its name and its sentence."""

    titles: Mapping[str, str]
    result: str
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HealthReport:
    """All checks, and the time they were made."""

    checks: tuple[CheckResult, ...]
    at: clock.Stamp


class Checkup:
    """The latest report of `lantern doctor`."""

    def __init__(self, config_path: Path | None) -> None:
        chosen = ["--config", str(config_path)] if config_path else []
        self._command = [sys.executable, "-m", "firmware_app", "doctor", "--json", "--no-dial", *chosen]
        self._lock = threading.Lock()
        self._report: HealthReport | None = None
        self._begun = float("-inf")
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None

    def latest(self) -> HealthReport | None:
        """The last report, None until there is one; an old report starts a new check in the background."""
        with self._lock:
            running = self._thread is not None and self._thread.is_alive()
            if not running and time.monotonic() - self._begun > _FRESH_S:
                self._begun = time.monotonic()
                self._thread = threading.Thread(target=self._run, name="checkup", daemon=True)
                self._thread.start()
            return self._report

    def stop(self) -> None:
        """End a running `lantern doctor`."""
        with self._lock:
            thread, process = self._thread, self._process
        if process is not None and process.poll() is None:
            process.kill()
        if thread is not None:
            thread.join(_END_S)

    def _run(self) -> None:
        try:
            lines = [json.loads(line) for line in self._run_doctor().splitlines()]
            checks = tuple(_parse_check(line) for line in lines if not line.get("at"))  # refusals have their own page
        except (OSError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
            log.warning("the health check failed: %s", type(error).__name__)
            return
        if checks:
            self._report = HealthReport(checks, clock.stamp())

    def _run_doctor(self) -> str:
        """The output of `lantern doctor`; raises `subprocess.TimeoutExpired` when it takes too long."""
        with subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            self._process = process
            try:
                return process.communicate(timeout=_LIMIT_S)[0]
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def sort_checks(checks: Sequence[CheckResult]) -> list[CheckResult]:
    """Sort the checks: those that need action first."""
    return sorted(checks, key=lambda check: ("fail", "warn", "ok").index(check.result))


def _parse_check(line: Mapping[str, Any]) -> CheckResult:
    result = str(line["result"])
    kind = result if result in ("ok", "warn", "fail") else "warn"
    return CheckResult(dict(line["titles"]), kind, dict(line["texts"]))
