"""A reader killed again and again while a version is on trial: each image is read once, and the trial ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_app.cases.pack_changes import TrialState
from tests.faults.test_reader_kills import ReaderProcess
from tests.process.test_pack_trial import RIGHT, _runtimes_as_installed
from tests.reading_rig import wait_until
from tests.trial_rig import NEW, OLD, TrialBox, box

__all__ = ["_runtimes_as_installed"]

IMAGES = 4


def test_a_reader_killed_in_the_trial_goes_on_with_it_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANTERN_PACKS__TRIAL_IMAGES", str(IMAGES))
    with box(tmp_path, monkeypatch, RIGHT, images=IMAGES) as clinic:
        process = ReaderProcess(clinic.rig)
        for number in range(IMAGES):
            clinic.film(number + 2)
            if number % 2:
                wait_until(lambda seen=number // 2: _count_seen(clinic) >= seen)  # type: ignore[misc]
                process.kill()
                process = ReaderProcess(clinic.rig)
        wait_until(lambda: process.has_ended() or clinic.serving() == NEW)
        wait_until(process.has_ended)  # to be started anew with the version that serves now
        assert set(clinic.readings().values()) == {OLD}
        assert len(clinic.readings()) == IMAGES
        trial = clinic.trial()
        assert (trial.state, trial.images, trial.same, trial.failed) == (TrialState.COMMITTED, IMAGES, IMAGES, 0)
        again = ReaderProcess(clinic.rig)
        clinic.film(99)
        wait_until(lambda: len(clinic.readings()) == IMAGES + 1)
        again.kill()
        assert NEW in clinic.readings().values()


def _count_seen(clinic: TrialBox) -> int:
    (count,) = clinic.rig.clinical.database.connection.execute(
        "SELECT COUNT(*) FROM trial_images WHERE status = 'read'"
    ).fetchone()
    return int(count)
