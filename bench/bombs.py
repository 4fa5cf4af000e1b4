"""The bomb set against a whole box: where each is refused, by which code, after how long, at what cost.

    python -m bench.bombs [NAME ...]

Each bomb comes alone, while dcmtk's storescu stores a film beside it.  A file in the watched folder is taken when it is
the same at two looks, 2 s apart: up to 4 s of its time, which the last line leaves out.  "late" is what took more than
2 s.  NAME: only bombs with that in their name.
Exit status 1 when one is not refused by a code that is meant for it, or costs too much.
"""

from __future__ import annotations

import importlib.util
import math
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tests.wire import siege as under
from tests.wire.bombs import CLIPS, DROPPED, STORED
from tests.wire.siege import ATTACKS, Refused, Siege

GOAL_S: Final = 2.0
BESIDE_S: Final = 5.0
CHILD_MB: Final = 512
_LOOKS_S: Final = 4.0


@dataclass(frozen=True)
class Cost:
    """What one bomb cost: seconds to its refusal, a child's peak memory, seconds of the film beside it."""

    seconds: float
    child_mb: float
    beside_s: float
    well: bool


def main(names: list[str]) -> int:
    bombs = [*STORED, *DROPPED, *(CLIPS if importlib.util.find_spec("av") else ())]
    costs: list[Cost] = []
    print(f"{'bomb':<46}{'comes by':<10}{'refused by':<11}{'code':<26}{'s':>7}{'child MB':>10}{'beside s':>10}")
    with tempfile.TemporaryDirectory() as folder, under.siege(Path(folder)) as siege:
        siege.store_beside()
        _settle(siege)
        for bomb in bombs:
            if _meant(bomb.name, names):
                way = "DICOM" if bomb.way == "store" else "folder"
                costs.append(_line(siege, bomb.name, way, bomb.codes, partial(siege.throw, bomb)))
        for name, (attack, code) in ATTACKS.items():
            if _meant(name, names):
                costs.append(_line(siege, name, "DICOM", (code,), partial(siege.attack, attack)))
        same = siege.same_services()
    if costs:
        print(_summary(costs, same))
    return 0 if same and all(cost.well for cost in costs) else 1


def _summary(costs: list[Cost], same: bool) -> str:
    slowest, most = max(cost.seconds for cost in costs), max(cost.child_mb for cost in costs)
    beside, wrong = max(cost.beside_s for cost in costs), sum(not cost.well for cost in costs)
    return (
        f"{len(costs)} bombs, {wrong} not as they should be: refused within {slowest:.2f} s, a child had {most:.0f} MB "
        f"at most, a film beside was stored within {beside:.2f} s, {'no' if same else 'A'} service was restarted."
    )


def _line(siege: Siege, name: str, way: str, codes: tuple[str, ...], throw: Callable[[], Refused]) -> Cost:
    """Send one bomb and print its line."""
    took: list[float] = []
    beside = threading.Thread(target=lambda: took.append(siege.store_beside()))
    beside.start()
    refused = throw()
    beside.join()
    _settle(siege)
    seconds = max(0.0, refused.seconds - (_LOOKS_S if way == "folder" else 0.0))
    beside_s = took[0] if took else math.inf
    bad = refused.code not in codes or refused.child_mb >= CHILD_MB or beside_s >= BESIDE_S
    mark = " BAD" if bad else " late" if seconds > GOAL_S else ""
    print(
        f"{name:<46}{way:<10}{refused.where:<11}{refused.code:<26}{refused.seconds:7.2f}{refused.child_mb:10.0f}"
        f"{beside_s:10.2f}{mark}",
        flush=True,
    )
    return Cost(seconds, refused.child_mb, beside_s, not bad)


def _settle(siege: Siege) -> None:
    """Return when nothing waits to be read."""
    while siege.clinical.unread():
        time.sleep(0.02)


def _meant(name: str, names: list[str]) -> bool:
    return not names or any(wanted in name for wanted in names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
