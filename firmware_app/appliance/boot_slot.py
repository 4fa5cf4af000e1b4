"""The two slots of a flashed box: whether the one that runs is kept, and why the other one was left.

Run by root once at each start (systemd/image/units/lantern-slot.service), when the box's processes have started:

* the self-test finds nothing against the software: the slot is marked good, and the boot counter begins anew;
* it does, in a version that was never good here: the slot is marked bad, why is written down, and the machine starts
  the other slot;
* it does, in a version that was good before: a disk or a model may be broken, the slot is not; it stays.

A slot that never came so far was left by the boot counter (systemd/image/grub.cfg), which this notices afterwards.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from firmware_app.appliance.software_record import UNFIT, UNSTARTED
from firmware_app.core import clock, run_status
from firmware_app.core.settings import load_config
from firmware_app.core.state_dir import StateDir

NAME: Final = "slot"
"""Under which it is kept (`remembered`)."""
BLAMED: Final = frozenset({"packs", "databases", "gateway", *run_status.ALL_PROCESSES})
"""Parts of the self-test that speak against a version; a full disk, heat or a wrong clock do not."""
_VERSION: Final = Path("/etc/lantern-image")
_ENVIRONMENT: Final = Path("/efi/lantern/grubenv")
_WAIT_S, _PAUSE_S = 600.0, 20.0
_RUN_S: Final = 1800.0  # of one self-test: as long as its unit gives it
Verdict = Literal["good", "leave"]


def judge_slot(failed: frozenset[str], *, was_good: bool, other_ok: bool) -> Verdict:
    """What becomes of the running slot, whose self-test *failed* in these parts."""
    return "leave" if failed & BLAMED and not was_good and other_ok else "good"


@dataclass(frozen=True)
class BootCounter:
    """What the boot loader and RAUC know: grubenv."""

    order: tuple[str, ...]
    ok: Mapping[str, bool]

    @classmethod
    def parse(cls, listed: str) -> BootCounter:
        """Of what `grub-editenv list` prints."""
        said = dict(line.partition("=")[::2] for line in listed.splitlines())
        return cls(tuple(said.get("ORDER", "A B").split()), {one: said.get(f"{one}_OK") == "1" for one in "AB"})

    def is_fallback(self, slot: str) -> bool:
        """Whether another one than the running *slot* ought to run, and did not come up."""
        first = self.order[0] if self.order else slot
        return first != slot and self.ok.get(first, False)


def main() -> int:
    state, slot, version = StateDir(load_config().state.dir), _read_running_slot(), _VERSION.read_text("utf-8").strip()
    notes = run_status.read_check_result(state, NAME)
    good: dict[str, str] = {str(one): str(its) for one, its in dict(notes.get("good") or {}).items()}
    was_good = good.get(slot) == version
    _print_line(f"slot {slot}, version {version}, {'known to be good' if was_good else 'on trial'}")
    try:
        _judge(state, slot, version, good, notes.get("left"), was_good=was_good)
    except (OSError, subprocess.SubprocessError) as error:
        _print_line(f"slot {slot} could not be judged: {error}")
        if was_good:
            return 1
        _run("systemctl", "reboot")  # it has not been marked good, so this start counts against it
    return 0


def _judge(state: StateDir, slot: str, version: str, good: dict[str, str], left: object, *, was_good: bool) -> None:
    counter, other = BootCounter.parse(_run("grub-editenv", _ENVIRONMENT, "list")), "B" if slot == "A" else "A"
    failed = frozenset[str]() if was_good else _await_selftest(state)
    if judge_slot(failed, was_good=was_good, other_ok=counter.ok.get(other, False)) == "leave":
        parts = ", ".join(sorted(failed & BLAMED))
        _save_record(state, good, {"slot": slot, "version": version, "code": UNFIT, "parts": parts})
        _run("rauc", "status", "mark-bad", "booted")
        _print_line(f"slot {slot} is left: {parts}")
        _run("systemctl", "reboot")
        return
    if counter.is_fallback(slot):
        left = {"slot": other, "version": _read_slot_version(other), "code": UNSTARTED}
        _run("rauc", "status", "mark-bad", "other")
        _print_line(f"slot {other} was left: it did not start")
    elif not was_good:
        left = None  # a version that is good now is the end of the one before it that was not
    good[slot] = version
    _save_record(state, good, left if isinstance(left, dict) else None)
    _run("rauc", "status", "mark-good", "booted")
    _run("rauc", "status", "mark-active", "booted")
    _print_line(f"slot {slot} is good")


def _await_selftest(state: StateDir) -> frozenset[str]:
    """The parts in which the self-test of this start fails, when the processes have had time to start."""
    until = time.monotonic() + _WAIT_S
    while True:
        failed = _run_selftest(state) & BLAMED
        if not failed or time.monotonic() > until:
            return failed
        time.sleep(_PAUSE_S)


def _run_selftest(state: StateDir) -> frozenset[str]:
    try:
        _run("systemctl", "start", "lantern-selftest.service", check=False, timeout_s=_RUN_S)
    except subprocess.TimeoutExpired:
        return frozenset({"packs"})
    result = run_status.read_check_result(state, "selftest")
    said = result.get("failed") if result.get("boot") == clock.boot_id() else None
    return frozenset(map(str, said)) if isinstance(said, list) else frozenset({"packs"})


def _save_record(state: StateDir, good: Mapping[str, str], left: Mapping[str, Any] | None) -> None:
    run_status.write_check_result(
        state, NAME, {"at": clock.stamp_text("seconds"), "good": dict(good), "left": left and dict(left)}
    )


def _read_running_slot() -> str:
    words = Path("/proc/cmdline").read_text("ascii").split()
    return next(word.partition("=")[2] for word in words if word.startswith("rauc.slot="))


def _read_slot_version(slot: str) -> str:
    """The version that RAUC last wrote to *slot*, out of its status file; empty where none is known."""
    try:
        lines = Path("/var/lib/rauc/status").read_text("utf-8").splitlines()
    except OSError:
        return ""
    section, wanted = "", f"[slot.rootfs.{'AB'.index(slot)}]"
    for line in lines:
        if line.startswith("["):
            section = line.strip()
        elif section == wanted and line.startswith("bundle.version="):
            return line.partition("=")[2].strip()
    return ""


def _run(*command: str | Path, check: bool = True, timeout_s: float = 120.0) -> str:
    words = [str(word) for word in command]
    return subprocess.run(
        words, check=check, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout_s
    ).stdout


def _print_line(sentence: str) -> None:
    print(f"lantern: {sentence}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
