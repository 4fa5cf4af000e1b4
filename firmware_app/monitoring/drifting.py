"""Which machine's films have changed, for pages, checks and the hospital.

`monitoring.drift` with each pack's own reference: the share of its test films that it refused.
"""

from __future__ import annotations

from typing import Final

from firmware_app.cases.clinical_db import Clinical
from firmware_app.cases.scored import Place
from firmware_app.core.settings import Config
from firmware_app.core.statistics.shift import Shift
from firmware_app.monitoring import drift
from firmware_app.monitoring.drift import Drift
from firmware_app.packs.installed import PackStore
from firmware_app.packs.manifest import Manifest
from firmware_app.uplink.messages.watch import MOST_WATCHES, Drifting, MeasureWatch, WatchedPlace

_EVERY: Final = 50
_CHANGES: Final = f"SELECT MAX(sequence) / {_EVERY} FROM watched"


def of_clinic(clinical: Clinical, config: Config) -> tuple[Drift, ...]:
    """Every pack on every machine, the latest used first."""
    packs = PackStore.of(config).survey().packs
    manifests = {(one.name, one.manifest.version): one.manifest for one in packs}

    def home(place: Place) -> tuple[int, int] | None:
        manifest = manifests.get((place.pack, place.version))
        return refused_at_home(manifest) if manifest is not None else None

    return drift.of_all(clinical.database.connection, home)


def refused_at_home(manifest: Manifest) -> tuple[int, int] | None:
    """(refused, of so many) of the pack's own test films; None where it was not measured."""
    rows = [one for one in manifest.measured if one.passed is not None and one.n]
    return next(((round((1.0 - row.passed) * row.n), row.n) for row in rows if row.passed is not None), None)


class Watch:
    """What the hospital is told, counted again after every 50 images."""

    def __init__(self, clinical: Clinical, config: Config) -> None:
        self._clinical, self._config = clinical, config
        self._mark: object = None
        self._watched: tuple[WatchedPlace, ...] = ()

    def places(self) -> tuple[WatchedPlace, ...]:
        """At most `MOST_WATCHES`, the latest used first; those whose names have not the permitted form are left out."""
        mark = self._clinical.database.connection.execute(_CHANGES).fetchone()[0]
        if mark != self._mark:
            told = (_told(one) for one in of_clinic(self._clinical, self._config)[:MOST_WATCHES])
            self._watched, self._mark = tuple(one for one in told if one is not None), mark
        return self._watched


def _told(one: Drift) -> WatchedPlace | None:
    place = one.place
    named = {"pack": place.pack, "version": place.version, "machine": place.machine}
    if not WatchedPlace.takes(**named):
        return None
    return WatchedPlace(**named, seen=one.seen, measures=tuple(map(_measure, one.shifts)))


def _measure(one: Shift) -> MeasureWatch:
    return MeasureWatch(
        one.measure,
        MeasureWatch.scaled(one.first),
        MeasureWatch.scaled(one.now),
        min(9999, round(100 * one.psi)),
        Drifting.CHANGED if one.alarms else Drifting.STEADY,
    )
