"""A change of packs in a fork of this process that is cut off at its n-th step on the disk.

A step is any file that is opened, made, renamed, linked or removed below the box's packs.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from firmware_app.packs import installer
from firmware_app.packs.installer import InstallRequest
from firmware_app.packs.pack_store import PackStore
from tests.publishing_rig import NAME

_STEPS = frozenset({"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "os.chmod", "open"})


def change_pack(store: PackStore, repository: Path, verb: str) -> None:
    """Make the change *verb*."""
    if verb == "install":
        wish = InstallRequest(NAME, str(repository), trial=True)
        installer.install_pack(store, wish, lambda _done, _total: None, lambda _pack: None)
    else:
        {"commit": installer.commit_trial, "drop": installer.drop_trial, "rollback": installer.roll_back}[verb](
            store, NAME
        )


def kill_at_step(folder: Path, verb: str, step: int) -> bool:
    """Make the change in a fork that kills itself at *step*; False where there is no such step any more."""
    child = os.fork()
    if child == 0:
        _work(folder, verb, step, None)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0, f"{verb} failed"
    return False


def stop_at_step(folder: Path, verb: str, step: int) -> int | None:
    """Make the change in a fork that stands still at *step*; its process, or None where there is no such step."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        _work(folder, verb, step, theirs)
    os.close(theirs)
    reached = os.read(ours, 1)
    os.close(ours)
    if reached:
        return child
    os.waitpid(child, 0)
    return None


def end(child: int) -> None:
    """Kill a fork that stands still."""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _work(folder: Path, verb: str, step: int, tell: int | None) -> None:
    """In the fork: never returns."""
    store = PackStore(folder / "state" / "packs", folder / "shipped")
    done, below = 0, str(store.installed)

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal done
        if event not in _STEPS or not any(str(argument).startswith(below) for argument in arguments[:2]):
            return
        done += 1
        if done == step and tell is not None:
            os.write(tell, b"!")
            time.sleep(600)
        elif done == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    status = 1
    try:
        change_pack(store, folder / "repository", verb)
        status = 0
    finally:  # a fork of a test must not go on as one
        os._exit(status)
