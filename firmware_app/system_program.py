"""A program of the system, asked to do something: with a limit, and never with a traceback."""

from __future__ import annotations

import subprocess


class ProgramFailed(Exception):
    """Why it did not do what it was asked: its own last words, or that it is not there or does not answer."""


class ProgramMissing(ProgramFailed):
    """Asking again does not help."""


class ProgramRefused(ProgramFailed):
    """It ended by itself, with another status than 0."""


def run(*command: str, seconds: float, data: bytes = b"", most: int = 160) -> bytes:
    """What *command* prints, given *data*; raises `ProgramFailed`, with at most *most* of its letters."""
    name = command[0]
    try:
        done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=seconds)
    except FileNotFoundError:
        raise ProgramMissing(f"{name}: not installed") from None
    except OSError as error:
        raise ProgramFailed(f"{name}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise ProgramFailed(f"{name}: no answer in {seconds:g} s") from None
    if done.returncode:
        told = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"{name}: status {done.returncode}"]
        raise (ProgramRefused if done.returncode > 0 else ProgramFailed)(told[-1][:most])
    return done.stdout
