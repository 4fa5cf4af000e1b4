"""A box whose clock is in 1970, at the end of 32 bits, ten years off, or jumps: it works, its list stays in order."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.box import LANTERN
from tests.faults import ledger, shifted_clock
from tests.faults.clinic import wait_until
from tests.faults.doctor import Doctor
from tests.faults.scene import AttackRun, Outcome, Scene, run_attack
from tests.faults.shifted_clock import ShiftedClock

NAME = "wrong clocks"
_CLOCKS = (
    shifted_clock.EPOCH,
    shifted_clock.END_OF_32_BIT,
    shifted_clock.TEN_YEARS_BEHIND,
    shifted_clock.TEN_YEARS_AHEAD,
)
_JUMPS = (shifted_clock.TEN_YEARS_AHEAD, shifted_clock.EPOCH, shifted_clock.RIGHT)


def shift(scene: Scene, films: int) -> Outcome:
    """*films* under each clock; in the end, with the right one, every summary must have been counted."""
    room = scene.room("clocks")
    clock = ShiftedClock(room)
    with run_attack(scene, "clocks", room / "state", line=True, room=room) as play:
        play.clinic.environment |= clock.environment
        doctor = Doctor()
        for time in _CLOCKS:
            scene.say(f"{NAME}: {time}")
            clock.set(time)
            play.clinic.start()
            play.clinic.ready("gateway", "reader", "viewer")
            _a_day(play, doctor, films, time)
            play.clinic.kill()  # switched off; an orderly stop sleeps, and libfaketime 0.9.10 breaks time.sleep
        clock.set(shifted_clock.RIGHT)
        play.clinic.start()
        play.clinic.ready("gateway", "reader", "viewer")
        for time in _JUMPS:
            scene.say(f"{NAME}: a jump to {time}")
            clock.set(time)
            _a_day(play, doctor, films, f"jump to {time}")
        play.clinic.kill()
        for name in clock.environment:
            del play.clinic.environment[name]
        play.wait_settled()
        play.conclude()
        play.tracebacks()
        play.outcome.restarts = 0  # those here are the technician's
        play.outcome.strikes = f"{films} films at each of {len(_CLOCKS)} clocks and after each of {len(_JUMPS)} jumps"
        play.outcome.attack = NAME
    return play.outcome


def _a_day(play: AttackRun, doctor: Doctor, films: int, when: str) -> None:
    """Images come, are read, and a doctor looks at them."""
    before = set(play.ledger.snapshot())
    play.send(films)
    root = play.clinic.state.root
    wait_until(lambda: ledger.count_waiting(root) == 0, 60, f"the films of {when} are read")
    port = int((play.clinic.read_announcement("viewer") or {"port": 0})["port"] or 0)
    if not before:
        code = _lantern(play, "user", "claim", "--json")[0]["code"]
        if not doctor.claim(port, code):
            play.outcome.unexpected.append(f"{when}: the first account could not be made")
    if not doctor.sees_the_list(port):
        play.outcome.unexpected.append(f"{when}: a doctor could not log in and see the list")
    _check_order(play, set(play.ledger.snapshot()) - before, when)


def _check_order(play: AttackRun, newest: set[str], when: str) -> None:
    """Every case is listed, and of one priority the newest come first, whatever the clock says."""
    listed = [case for case in _lantern(play, "case", "list", "--json") if case["case"]]
    if len(listed) != len(play.ledger.snapshot()):
        play.outcome.unexpected.append(f"{when}: {len(listed)} cases listed")
    cases = {uid: case for uid, (case, _) in ledger.audit(play.clinic.state.root).revisions.items()}
    fresh = {cases[uid] for uid in newest}
    for priority in {case["priority"] for case in listed}:
        order = [case["case"] in fresh for case in listed if case["priority"] == priority]
        if order != sorted(order, reverse=True):
            play.outcome.unexpected.append(f"{when}: the newest films do not stand first")
            return


def _lantern(play: AttackRun, *words: str) -> list[dict[str, Any]]:
    """What a command of the box prints, under the box's clock."""
    done = subprocess.run(
        [*LANTERN, *words], env=play.clinic.environment, text=True, capture_output=True, check=False, timeout=60
    )
    if done.returncode != 0:
        play.outcome.unexpected.append(f"lantern {words[0]} ended with status {done.returncode}")
        return []
    return [json.loads(line) for line in done.stdout.splitlines()]
