"""The order of packs that fit the same image: the clinic's order, then the shipped packs, then by name.

With an order by name alone, a new pack called “a-…” would take the films of a pack that is in use.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Final

from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.reading import routing

if TYPE_CHECKING:
    from firmware_app.core.settings import Config
    from firmware_app.packs.installed import PackStore
    from firmware_app.packs.shelf import Pack

_OVERLAP: Final = register(
    "doctor.packs_overlap",
    N_(
        "Images that fit both “{asked}” and “{passed_over}” are read by “{asked}”, though nobody chose that. "
        "Name the one to be asked under [packs] prefer."
    ),
)
_CHOSEN: Final = register(
    "doctor.packs_chosen",
    N_("Images that fit both “{asked}” and “{passed_over}” are read by “{asked}”, as [packs] prefer says."),
)


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two packs that one image may fit: *asked* is, *passed_over* is not.  `is_chosen`: by `[packs] prefer`."""

    asked: str
    passed_over: str
    is_chosen: bool

    @property
    def names(self) -> tuple[str, str]:
        """Both."""
        return self.asked, self.passed_over

    @property
    def reason(self) -> Reason:
        """It as a sentence."""
        return Reason(_CHOSEN if self.is_chosen else _OVERLAP, {"asked": self.asked, "passed_over": self.passed_over})


def ordered(packs: Iterable[Pack], config: Config, store: PackStore) -> list[Pack]:
    """*packs* as they are asked: those of `[packs] prefer` in that order, the shipped ones, the installed ones."""
    wanted = config.packs.prefer

    def rank(pack: Pack) -> tuple[int, bool, str]:
        place = wanted.index(pack.name) if pack.name in wanted else len(wanted)
        return place, not store.is_shipped(pack.name), pack.name

    return sorted(packs, key=rank)


def candidates(packs: Iterable[Pack], config: Config, store: PackStore) -> list[routing.PackCandidate]:
    """*packs* for `routing.route`, in the order in which they are asked."""
    return [routing.PackCandidate(pack.name, pack.manifest.route) for pack in ordered(packs, config, store)]


def overlaps(packs: Iterable[Pack], config: Config, store: PackStore) -> list[Overlap]:
    """Every two of *packs* that one image may fit."""
    usual, wanted = config.box.usual_population, config.packs.prefer
    return [
        Overlap(first.name, second.name, first.name in wanted)
        for first, second in combinations(ordered(packs, config, store), 2)
        if routing.may_share(first.manifest.route, second.manifest.route, usual)
    ]
