"""`make torture`: the whole box attacked in every way that these modules know, and one report of what became of it.

``python -m tests.faults.campaign --minutes 60 --seed 7 [--only ATTACK …] [--json] [--report FILE]``, as root.  What is
done is set by the minutes; the instants are drawn from the seed.  Exit status 0 when every promise held, 1 when one
was broken, 2 when something the campaign needs is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from tests import toy_pack
from tests.faults import clock_attacks, damage_attacks, disk_attacks, kill_attacks, power_attacks, report
from tests.faults.scene import Outcome, Scene
from tests.peers import lacking
from tests.wire.line_rig import run_hospital

_WHOLE_MINUTES: Final = 60


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack, with how much of it fills its part of an hour, and the least that is worth its start."""

    run: Callable[[Scene, int], Outcome]
    hour: int
    least: int
    unit: str


ATTACKS: Final[Mapping[str, Attack]] = {
    "cuts": Attack(power_attacks.cut_power, 200, 2, "power cuts"),
    "images": Attack(power_attacks.photograph, 40, 2, "seconds of a crash image every 50 ms"),
    "kills": Attack(kill_attacks.kill_all, 1000, 40, "studies"),
    "lines": Attack(kill_attacks.fail_lines, 120, 16, "seconds"),
    "store": Attack(disk_attacks.fill_in_store, 30, 1, "times"),
    "restart": Attack(disk_attacks.restart_on_full, 10, 1, "times"),
    "result": Attack(disk_attacks.fill_in_result, 20, 1, "times"),
    "checkpoint": Attack(disk_attacks.fill_in_checkpoint, 20, 1, "times"),
    "inodes": Attack(disk_attacks.exhaust_inodes, 20, 1, "times"),
    "read-only": Attack(disk_attacks.turn_read_only, 5, 1, "times"),
    "damage": Attack(
        damage_attacks.damage_pages, 6, 1, "databases damaged at rest, and as many after a kill under load"
    ),
    "clocks": Attack(clock_attacks.shift, 6, 1, "films at each clock"),
}


def dose(attack: Attack, minutes: float) -> int:
    """How much of *attack* fits a campaign of so many minutes."""
    return max(attack.least, round(attack.hour * min(1.0, minutes / _WHOLE_MINUTES)))


def play(scene: Scene, names: Sequence[str], minutes: float) -> list[Outcome]:
    """The attacks *names*, one after the other; one that cannot be carried out is an outcome too."""
    outcomes = []
    for name in names:
        attack = ATTACKS[name]
        begun = time.monotonic()
        try:
            outcome = attack.run(scene, dose(attack, minutes))
        except Exception as error:  # noqa: BLE001 - the outermost loop: the report of the others must still be written
            traceback.print_exc()
            outcome = Outcome(name, unexpected=[f"not carried out: {type(error).__name__}: {error}"])
        outcome.seconds = time.monotonic() - begun
        outcomes.append(outcome)
        scene.say(report.line(outcome))
    return outcomes


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    _require()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    names = options.only or list(ATTACKS)
    begun = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="lantern-torture-"))
    say = _speaker()
    try:
        (folder / "hospital").mkdir()
        with run_hospital(folder / "hospital") as site:
            scene = Scene(folder, toy_pack.write_both(folder / "packs"), site, seed, say, options.logs)
            outcomes = play(scene, names, options.minutes)
    except KeyboardInterrupt:
        print("\nstopped; every mount and every process of the campaign is gone", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    made = report.Report(seed, options.minutes, time.monotonic() - begun, tuple(outcomes))
    if options.json:
        print(json.dumps(made.to_object()))
    if options.report:
        options.report.parent.mkdir(parents=True, exist_ok=True)
        options.report.write_text(made.markdown(), "utf-8")
    print(made.summary(), file=sys.stderr)
    return 0 if made.holds else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    parser.add_argument("--minutes", type=float, default=_WHOLE_MINUTES, help="about how long; default %(default)s")
    parser.add_argument("--seed", type=int, help="of every random instant; default: a new one, which is told")
    parser.add_argument("--only", nargs="+", choices=list(ATTACKS), metavar="ATTACK", help=", ".join(ATTACKS))
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report as Markdown")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep what the attacked boxes said")
    return parser


def _require() -> None:
    """End with a sentence when something is missing."""
    missing = lacking("storescu", "echoscu", "mosquitto", "xfs_io", "mkfs.xfs", "mkfs.ext4", "faketime")
    if os.geteuid() != 0:
        _refuse("The campaign mounts file systems of its own: run it as root.")
    if missing:
        _refuse(f"The campaign needs the Debian packages {', '.join(missing)}: apt install {' '.join(missing)}")


def _refuse(sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr)
    sys.exit(2)


def _speaker() -> Callable[[str], None]:
    """Progress on a terminal: one line that changes; elsewhere only the lines that end an attack."""
    terminal = sys.stderr.isatty()

    def say(text: str) -> None:
        if terminal:
            print(f"\r\033[K{text}", end="\n" if text.startswith(report.MARKS) else "", file=sys.stderr, flush=True)
        elif text.startswith(report.MARKS):
            print(text, file=sys.stderr, flush=True)

    return say


def _leave(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
