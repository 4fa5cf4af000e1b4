"""Whether a version that serves does worse at this clinic than its card says; asked again as films are confirmed."""

from __future__ import annotations

from collections.abc import Iterable

from firmware_app.cases.asking import Shares
from firmware_app.cases.clinical_db import Clinical
from firmware_app.core.settings import Config
from firmware_app.core.statistics.fall import Promise, alarmed
from firmware_app.monitoring.falls import Falls
from firmware_app.packs.installed import PackStore
from firmware_app.packs.manifest import Manifest

_CHANGES = "SELECT COALESCE(MAX(sequence), 0) FROM confirmations"


class Falling:
    """The test of every version that serves."""

    def __init__(self, clinical: Clinical, config: Config) -> None:
        self._clinical, self._config, self._falls = clinical, config, Falls(clinical.database)
        self._mark: object = None

    def look(self) -> None:
        """Test again where a film was confirmed since the last look."""
        mark = self._clinical.database.connection.execute(_CHANGES).fetchone()[0]
        if mark != self._mark:
            self._test()
            self._mark = mark

    def codes(self, packs: Iterable[tuple[str, str]]) -> list[str]:
        """Codes of those of *packs* (name and version) that have fallen and that nobody has noted."""
        return [one.reason.code for one in self._falls.open(packs)]

    def _test(self) -> None:
        known = {(one.pack, one.version) for one in self._falls.all()}
        below = Shares(self._config.calibration.before, self._config.calibration.low).below
        for pack in PackStore.of(self._config).survey().packs:
            manifest, promise = pack.manifest, promised(pack.manifest)
            if promise is None or (manifest.name, manifest.version) in known:
                continue
            first = manifest.findings[0]
            films = self._falls.films(manifest.name, manifest.version, first.code, first.threshold, below)
            if (found := alarmed(promise, films)) is not None:
                self._falls.found(manifest.name, manifest.version, *found)


def promised(manifest: Manifest) -> Promise | None:
    """The least that a pack's card says of its first finding, over its files: lower 95 % bounds on its own test part,
    of the films that get a number where that was measured; None where a card says nothing."""
    rows = [one for one in manifest.measured if one.split == "test"]
    pairs = [
        (one.sensitivity_passed_ci or one.sensitivity_ci, one.specificity_passed_ci or one.specificity_ci)
        for one in rows
    ]
    lower = [(one[0], other[0]) for one, other in pairs if one is not None and other is not None]
    return Promise(min(one for one, _ in lower), min(other for _, other in lower)) if lower else None
