"""What the hospital is told of the packs at this clinic: figures of the latest used ones, counted as they change."""

from __future__ import annotations

from firmware_app.cases.clinical_db import Clinical
from firmware_app.core.settings import Config
from firmware_app.core.statistics.confirmed import Estimate
from firmware_app.monitoring.overview import Here, Overview
from firmware_app.uplink.messages.figures import MOST_PLACES, Hundredths, PlaceFigures

_CHANGES = (
    "SELECT (SELECT COUNT(*) FROM confirmations), (SELECT COUNT(*) FROM standings), (SELECT COUNT(*) FROM agreements),"
    " (SELECT COUNT(*) FROM machine_scores),"
    " (SELECT COUNT(*) FROM audit WHERE action = 'calibration.undone'), (SELECT COUNT(*) / 50 FROM scored),"
    " (SELECT COUNT(DISTINCT pack || version || machine) FROM scored)"
)


class Told:
    """The figures for the hospital; counted again where something was confirmed or decided, or 50 films were read."""

    def __init__(self, clinical: Clinical, config: Config) -> None:
        self._clinical, self._config = clinical, config
        self._mark: tuple[object, ...] | None = None
        self._figures: tuple[PlaceFigures, ...] = ()

    def figures(self) -> tuple[PlaceFigures, ...]:
        """At most `MOST_PLACES`, the latest used first."""
        mark = tuple(self._clinical.database.connection.execute(_CHANGES).fetchone())
        if mark != self._mark:
            overview = Overview(self._clinical, self._config)
            told = (_told(here, overview) for here in overview.all()[:MOST_PLACES])
            self._figures, self._mark = tuple(one for one in told if one is not None), mark
        return self._figures


def _told(here: Here, overview: Overview) -> PlaceFigures | None:
    """The figures of *here*; ``None`` for a pack whose name has not the permitted form."""
    place, found = here.place, overview.figures(here)
    named = {"pack": place.pack, "version": place.version, "machine": place.machine, "finding": here.finding}
    if not PlaceFigures.takes(**named):
        return None
    return PlaceFigures(
        **named,
        state=here.state,
        threshold=round(1e4 * here.threshold),
        read=found.read,
        confirmed=found.confirmed,
        positives=found.positives,
        auc=_hundredths(found.auc),
        sensitivity=_hundredths(found.sensitivity),
        specificity=_hundredths(found.specificity),
    )


def _hundredths(estimate: Estimate | None) -> Hundredths:
    if estimate is None:
        return ()
    return tuple(round(100 * one) for one in (estimate.value, estimate.low, estimate.high))
