"""The bomb set against a whole box: where each is refused, by which code, after how long, at what cost.

    python -m bench.bombs [NAME ...]

Each bomb comes alone, while dcmtk's storescu stores a film beside it.  A file in the watched folder is taken when it is
the same at two looks, 2 s apart: up to 4 s of its time.  NAME: only bombs with that in their name.
Exit status 1 when one is not refused by a code that is meant for it, or costs too much.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.wire import siege as under
from tests.wire.bombs import CLIPS, DROPPED, STORED
from tests.wire.siege import ATTACKS, Refused, Siege

GOAL_S: Final = 2.0
BESIDE_S: Final = 5.0
CHILD_MB: Final = 512


def main(names: list[str]) -> int:
    bombs = [*STORED, *DROPPED, *(CLIPS if importlib.util.find_spec("av") else ())]
    well = True
    print(f"{'bomb':<42}{'comes by':<10}{'refused by':<11}{'code':<26}{'s':>7}{'child MB':>10}{'beside s':>10}")
    with tempfile.TemporaryDirectory() as folder, under.siege(Path(folder)) as siege:
        siege.store_beside()
        _settle(siege)
        for bomb in bombs:
            if _meant(bomb.name, names):
                way = "DICOM" if bomb.way == "store" else "folder"
                well &= _line(siege, bomb.name, way, bomb.codes, lambda bomb=bomb: siege.throw(bomb))  # type: ignore[misc]
        for name, (attack, code) in ATTACKS.items():
            if _meant(name, names):
                well &= _line(siege, name, "DICOM", (code,), lambda attack=attack: siege.attack(attack))  # type: ignore[misc]
        same = siege.same_services()
        print(f"Services: {'none was restarted' if same else 'RESTARTED'}.")
    return 0 if well and same else 1


def _line(siege: Siege, name: str, way: str, codes: tuple[str, ...], throw: Callable[[], Refused]) -> bool:
    """Throw one bomb, print its line; whether all is as it should be."""
    took: list[float] = []
    beside = threading.Thread(target=lambda: took.append(siege.store_beside()))
    beside.start()
    found = throw()
    beside.join()
    _settle(siege)
    late = found.seconds - (4.0 if way == "folder" else 0.0) > GOAL_S
    bad = found.code not in codes or found.child_mb >= CHILD_MB or not took or took[0] >= BESIDE_S
    mark = " BAD" if bad else " late" if late else ""
    print(
        f"{name:<42}{way:<10}{found.where:<11}{found.code:<26}{found.seconds:7.2f}{found.child_mb:10.0f}"
        f"{took[0] if took else float('nan'):10.2f}{mark}",
        flush=True,
    )
    return not bad


def _settle(siege: Siege) -> None:
    """Return when nothing waits to be read."""
    while siege.clinical.unread():
        time.sleep(0.02)


def _meant(name: str, names: list[str]) -> bool:
    return not names or any(wanted in name for wanted in names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
