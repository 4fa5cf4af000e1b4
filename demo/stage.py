"""The demo's environment: a temporary folder, the processes in it, and the commands, which are shown as they run.

However the demo ends (finished, failed, Ctrl-C, SIGTERM, closed terminal), the processes are ended, last started first,
and the folder is removed.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

_MODULES: Final = {"lantern": "firmware_app.cli.command_line", "lantern-hospital": "hospital.cli"}
_STOP_S: Final = 15.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoFailed(Exception):
    """The demo failed; the message is for the person who ran it."""


@dataclass
class BackgroundProcess:
    """A process in the background; its output goes to a file of the stage."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def read_events(self) -> list[dict[str, Any]]:
        """The JSON lines that it has printed so far."""
        whole = self.log.read_text("utf-8", "replace").rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def read_log_end(self) -> str:
        """The end of its log, to be shown when something went wrong."""
        lines = self.log.read_text("utf-8", "replace").splitlines()[-8:]
        return "\n".join(f"    {self.name}: {line}" for line in lines)


@dataclass
class DemoStage:
    """The folder, what runs in it, and the environment of every command."""

    folder: Path
    out: IO[str]
    environment: Mapping[str, str]
    running: list[BackgroundProcess] = field(default_factory=list)

    def run(self, *command: str) -> list[dict[str, Any]]:
        """Show *command*, run it to its end, and return the JSON lines it printed.  Raises `DemoFailed`."""
        self.show(command)
        return self.ask(*command)

    def ask(self, *command: str) -> list[dict[str, Any]]:
        """`run` without showing the command, for polling."""
        done = subprocess.run(
            _build_argv(command),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        if done.returncode != 0:
            raise DemoFailed(f"“{shlex.join(command)}” ended with status {done.returncode}:\n{done.stderr.strip()}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def start(self, name: str, *command: str, shown: bool = True) -> BackgroundProcess:
        """Start *command*, which runs until the demo ends.  Ctrl-C reaches only the demo, which ends all in order."""
        if shown:
            self.show((*command, "&"))
        log = self.folder / f"{name}.log"
        with log.open("wb") as handle:
            process = subprocess.Popen(
                _build_argv(command),
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=handle,
                start_new_session=True,
            )
        self.running.append(BackgroundProcess(name, process, log))
        return self.running[-1]

    def show(self, command: Sequence[str]) -> None:
        """One command line, dim on a terminal."""
        line = "$ " + " ".join(part if part == "&" else shlex.quote(part) for part in command)
        self.say(f"\033[2m{line}\033[0m" if self.is_colourful() else line)

    def say(self, text: str = "") -> None:
        print(text, file=self.out, flush=True)

    def is_colourful(self) -> bool:
        return self.out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def wait_until(self, what: Callable[[], bool], seconds: float, otherwise: str, pause_s: float = 0.02) -> None:
        """Return when *what* is true.  Raises `DemoFailed`, with *otherwise* after *seconds*."""
        deadline = time.monotonic() + seconds
        while not what():
            ended = [running for running in self.running if running.process.poll() is not None]
            if ended or time.monotonic() > deadline:
                said = [running.read_log_end() for running in ended or self.running]
                sentence = f"{ended[0].name} ended with status {ended[0].process.returncode}." if ended else otherwise
                raise DemoFailed("\n".join([sentence, *said]))
            time.sleep(pause_s)

    def close(self) -> None:
        """End every process, last started first, and remove the folder."""
        for running in reversed(self.running):
            running.process.terminate()
            try:
                running.process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(running.process.pid, signal.SIGKILL)
                running.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def open_stage() -> Iterator[DemoStage]:
    """A new stage, removed when the block ends in any way."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit_on_signal)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    folder = Path(tempfile.mkdtemp(prefix="lantern-demo-"))
    made = DemoStage(folder, sys.stdout, _build_environment(folder))
    try:
        yield made
    finally:
        for number in _SIGNALS:  # a second Ctrl-C must not interrupt the clean-up
            signal.signal(number, signal.SIG_IGN)
        made.close()


def find_free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def is_listening(port: int) -> bool:
    """Whether a process listens on *port* of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
    except OSError:
        return False
    return True


def _exit_on_signal(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def _build_argv(command: Sequence[str]) -> list[str]:
    module = _MODULES.get(command[0])
    return [sys.executable, "-m", module, *command[1:]] if module else list(command)


def _build_environment(folder: Path) -> dict[str, str]:
    """The caller's environment without settings of another box: only the demo's lantern.toml counts.

    Temporary files go into *folder* as well (onnxruntime leaves one), so that they are removed with it.
    """
    kept = {name: value for name, value in os.environ.items() if not (name.startswith("LANTERN_") and "__" in name)}
    return {"LANTERN_LOG": "WARNING", **kept, "TMPDIR": str(folder)}
