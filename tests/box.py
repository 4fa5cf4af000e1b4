"""A whole box for tests: `lantern serve` as a process, on a free port, with a state of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LANTERN = [sys.executable, "-m", "firmware_app"]


def make_environment(state: Path, **more: str) -> dict[str, str]:
    """What a command must see to mean the box on *state*."""
    return {
        **os.environ,
        "LANTERN_STATE__DIR": str(state),
        "LANTERN_DICOM__HOST": "127.0.0.1",
        "LANTERN_DICOM__PORT": "0",
        "LANTERN_VIEWER__HOST": "127.0.0.1",
        "LANTERN_VIEWER__PORT": "0",
        "LANTERN_BOX__LANGUAGE": "en",
        "LANTERN_CALIBRATION__BEFORE": "0",  # every result is shown at once
        "LANTERN_RETENTION__HIGH_WATER_FREE_MB": "16",
        "LANTERN_RETENTION__BALLAST_MB": "4",
        **more,
    }


class RunningBox:
    """A running `lantern serve --json` and the events it told."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.ready: dict[str, dict[str, Any]] = {}

    def wait_event(self, wanted: str, name: str) -> dict[str, Any]:
        """Read events until *wanted* about process *name* comes."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            if event["event"] == "ready":
                self.ready[event["process"]] = event
            if event["event"] == wanted and event.get("process") == name:
                return event
        raise AssertionError(f"serve ended before {name} was {wanted}")

    def wait_ready(self) -> None:
        for name in ("gateway", "reader", "viewer"):
            if name not in self.ready:
                self.wait_event("ready", name)


@contextmanager
def run_box(state: Path, **more: str) -> Iterator[RunningBox]:
    """A running box, ended with SIGTERM when the block ends."""
    process = subprocess.Popen(
        [*LANTERN, "serve", "--json"], env=make_environment(state, **more), stdout=subprocess.PIPE, text=True
    )
    try:
        yield RunningBox(process)
    finally:
        process.terminate()
        process.wait(timeout=30)
        assert process.stdout is not None
        process.stdout.close()


def run_lantern(state: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run one command of the box on *state* to its end."""
    return subprocess.run(
        [*LANTERN, *arguments],
        env=make_environment(state, **more),
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )
