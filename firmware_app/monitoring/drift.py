"""Drift without confirmed outcomes: for each pack on each device, the newest images against the first ones there.

The measures are `core.drift_tests.compare_samples`'s: shares called and refused, scores, distances from the training
images, sharpness, grain and grey.  The share refused is compared with that of the pack's own test images too.  Pages,
checks and the messages to the hospital use the same measures.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.model_scores import ModelSite
from firmware_app.core import drift_tests
from firmware_app.core.drift_tests import FIRST_IMAGES, MOST_FIRST_IMAGES, NUMBERS, Shift, WatchedImage
from firmware_app.core.settings import Config
from firmware_app.packs.manifest import Manifest
from firmware_app.packs.pack_store import PackStore
from firmware_app.uplink.messages.box_reports import MOST_SITE_DRIFTS, MeasureDrift, MeasureTrend, SiteDrift

ReferenceLookup = Callable[[ModelSite], tuple[int, int] | None]
"""(refused, of so many) of a pack's own test films; None where it does not say."""


@dataclass(frozen=True, slots=True)
class Drift:
    """A pack on a machine: of how many images there is a row, the share of them that got no number, and each measure.

    Rows are kept of the first images and of the newest ones (`scored.WATCHED_KEPT`).
    """

    place: ModelSite
    seen: int
    refused: float
    shifts: tuple[Shift, ...]

    @property
    def alarms(self) -> tuple[Shift, ...]:
        """The measures that have changed."""
        return tuple(shift for shift in self.shifts if shift.alarms)


def measure_drift(connection: sqlite3.Connection, home: ReferenceLookup = lambda _place: None) -> tuple[Drift, ...]:
    """Every pack on every machine; without measures until twice `FIRST_IMAGES` images were given to it there."""
    rows = connection.execute(
        "SELECT pack, version, machine, COUNT(*) AS seen, AVG(refused) AS refused FROM watched"
        " GROUP BY pack, version, machine ORDER BY MAX(sequence) DESC"
    ).fetchall()
    places = [(ModelSite(row["pack"], row["version"], row["machine"]), row["seen"], row["refused"]) for row in rows]
    return tuple(
        Drift(
            place,
            seen,
            refused,
            _compare_images(connection, place, seen, home(place)) if seen >= 2 * FIRST_IMAGES else (),
        )
        for place, seen, refused in places
    )


def _compare_images(
    connection: sqlite3.Connection, place: ModelSite, seen: int, home: tuple[int, int] | None
) -> tuple[Shift, ...]:
    first = _load_images(connection, place, "ASC", min(MOST_FIRST_IMAGES, seen - FIRST_IMAGES))
    return drift_tests.compare_samples(first, _load_images(connection, place, "DESC", FIRST_IMAGES), home)


def _load_images(connection: sqlite3.Connection, place: ModelSite, order: str, most: int) -> list[WatchedImage]:
    """The first or the newest images."""
    rows = connection.execute(
        f"SELECT refused, called, {', '.join(NUMBERS)} FROM watched WHERE pack = ? AND version = ? AND machine = ?"
        f" ORDER BY sequence {order} LIMIT ?",
        (place.pack, place.version, place.machine, most),
    )
    return [
        WatchedImage(bool(row["refused"]), bool(row["called"]), {name: row[name] for name in NUMBERS}) for row in rows
    ]


_EVERY: Final = 50
_CHANGES: Final = f"SELECT MAX(sequence) / {_EVERY} FROM watched"


def measure_clinic_drift(clinical: ClinicalDatabase, config: Config) -> tuple[Drift, ...]:
    """Every pack on every machine, the latest used first."""
    packs = PackStore.from_config(config).survey().packs
    manifests = {(pack.name, pack.manifest.version): pack.manifest for pack in packs}

    def find_home_refusals(place: ModelSite) -> tuple[int, int] | None:
        manifest = manifests.get((place.pack, place.version))
        return find_test_refusals(manifest) if manifest is not None else None

    return measure_drift(clinical.database.connection, find_home_refusals)


def find_test_refusals(manifest: Manifest) -> tuple[int, int] | None:
    """(refused, of so many) of the pack's own test films; None where it was not measured."""
    rows = [measurement for measurement in manifest.measured if measurement.passed is not None and measurement.n]
    return next(((round((1.0 - row.passed) * row.n), row.n) for row in rows if row.passed is not None), None)


class DriftReport:
    """What the hospital is told, counted again after every 50 images."""

    def __init__(self, clinical: ClinicalDatabase, config: Config) -> None:
        self._clinical, self._config = clinical, config
        self._mark: object = None
        self._watched: tuple[SiteDrift, ...] = ()

    def list_sites(self) -> tuple[SiteDrift, ...]:
        """At most `MOST_SITE_DRIFTS`, the latest used first; those whose names have not the permitted form are left
        out."""
        mark = self._clinical.database.connection.execute(_CHANGES).fetchone()[0]
        if mark != self._mark:
            told = (
                _build_site_drift(drift)
                for drift in measure_clinic_drift(self._clinical, self._config)[:MOST_SITE_DRIFTS]
            )
            self._watched, self._mark = tuple(site_drift for site_drift in told if site_drift is not None), mark
        return self._watched


def _build_site_drift(one: Drift) -> SiteDrift | None:
    place = one.place
    named = {"pack": place.pack, "version": place.version, "machine": place.machine}
    if not SiteDrift.accepts(**named):
        return None
    return SiteDrift(**named, seen=one.seen, measures=tuple(map(_build_measure, one.shifts)))


def _build_measure(one: Shift) -> MeasureDrift:
    return MeasureDrift(
        one.measure,
        MeasureDrift.scale(one.first),
        MeasureDrift.scale(one.now),
        min(9999, round(100 * one.psi)),
        MeasureTrend.CHANGED if one.alarms else MeasureTrend.STEADY,
    )
