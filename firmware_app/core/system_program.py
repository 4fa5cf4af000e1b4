"""Runs a program of the system with a time limit; every failure is a `ProgramFailed`."""

from __future__ import annotations

import subprocess


class ProgramFailed(Exception):
    """Why a program failed: its last line on stderr, or that it is missing or does not answer."""


class ProgramMissing(ProgramFailed):
    """It is not installed, so trying again does not help."""


class ProgramRefused(ProgramFailed):
    """It ended with a status other than 0, and not by a signal."""


def run(*command: str, seconds: float, data: bytes = b"", most: int = 160) -> bytes:
    """What *command* prints, given *data*; raises `ProgramFailed` with at most *most* characters of its text."""
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
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"{name}: status {done.returncode}"]
        raise (ProgramRefused if done.returncode > 0 else ProgramFailed)(lines[-1][:most])
    return done.stdout
