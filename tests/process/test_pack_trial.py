"""A new version of a pack reads in shadow first; it takes over, or is left by itself and says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_app.cases.audit import Audit
from firmware_app.cases.pack_changes import PackTrials, TrialState
from firmware_app.core.records import ReadingStatus, Reason
from firmware_app.packs import installer
from firmware_app.packs.runtimes import registry
from firmware_app.reading.errors import PACK_TRIAL_FAILED
from firmware_app.reading.reader import Reader
from tests.publishing_rig import NAME
from tests.trial_rig import NEW, OLD, box, open_reader, run_reader

RIGHT = "return {{'map': pooled}}"
FLAG = "os.path.exists({flag!r})"
LIVE = f"{FLAG} and film.any() and abs(float(film.mean()) - {{golden}}) > 1e-4"
"""True for images of the clinic, and neither for the golden case nor for an empty film."""
CRASHES = f"os._exit(7) if {LIVE} else None; {RIGHT}"
HANGS = f"time.sleep(60 if {LIVE} else 0); {RIGHT}"
DIFFERS = f"return {{{{'map': pooled - (9.0 if {LIVE} else 0.0)}}}}"


@pytest.fixture(autouse=True)
def _runtimes_as_installed() -> Iterator[None]:
    yield
    registry.list_runtimes.cache_clear()


def test_a_version_that_does_as_well_takes_over_after_its_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with box(tmp_path, monkeypatch, RIGHT) as clinic, open_reader(clinic) as made:
        films = [clinic.film(number) for number in range(3)]
        assert run_reader(made, lambda: False)
        assert set(clinic.readings().values()) == {OLD}  # what doctors saw is the serving version's
        assert all(clinic.rig.reading(film).status is ReadingStatus.READ for film in films)
        trial = clinic.trial()
        assert (trial.state, trial.images, trial.same, trial.failed) == (TrialState.COMMITTED, 3, 3, 0)
        rows = clinic.rig.clinical.database.connection.execute("SELECT * FROM trial_images").fetchall()
        assert all(abs(row["score"] - row["serving_score"]) < 0.01 for row in rows)  # both results are kept
        assert clinic.serving() == NEW
        assert installer.roll_back(clinic.store, NAME).pack.manifest.version == OLD
        actions = [one.action for one in Audit(clinic.rig.clinical.database).latest(9)]
        assert actions == ["pack.committed", "pack.on_trial"]
    with open_reader(clinic) as again:
        assert dict(again.list_packs()) == {NAME: OLD}


@pytest.mark.parametrize(
    ("body", "code"), [(CRASHES, "pack.trial_crashed"), (HANGS, "pack.trial_stalled"), (DIFFERS, "pack.trial_differs")]
)
def test_a_version_that_goes_wrong_on_live_images_is_left_and_the_old_one_reads_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, code: str
) -> None:
    with box(tmp_path, monkeypatch, body, infer_seconds=1.5) as clinic, open_reader(clinic) as made:
        clinic.flag.touch()
        for number in range(2, 6):
            clinic.film(number)
        assert not run_reader(made, lambda: not clinic.trial().is_running)
        trial = clinic.trial()
        assert trial.state is TrialState.LEFT
        assert trial.notice is not None
        assert trial.notice.code == code
        assert NEW in trial.notice.text("en")
        assert made.trials is not None
        assert made.trials.list_codes() == [code]
        assert clinic.store.find_trial_version(NAME) is None
        clinic.film(9)
        run_reader(made, lambda: len(clinic.readings()) == 5)
        assert set(clinic.readings().values()) == {OLD}
        assert clinic.serving() == OLD
        (left, _) = Audit(clinic.rig.clinical.database).latest(2)
        assert (left.action, left.details["code"]) == ("pack.left", code)


def test_a_restart_goes_on_with_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with box(tmp_path, monkeypatch, RIGHT) as clinic:
        with open_reader(clinic) as made:
            clinic.film(1)
            run_reader(made, lambda: clinic.trial().images == 1)
            began = clinic.trial().began
            clinic.film(2)
            while made.step():
                pass
        with open_reader(clinic) as made:
            run_reader(made, lambda: clinic.trial().images == 2)
            assert clinic.trial().began == began
            clinic.film(3)
            assert run_reader(made, lambda: False)
        assert clinic.serving() == NEW


@pytest.mark.parametrize("state", [TrialState.COMMITTED, TrialState.LEFT])
def test_a_cut_between_the_disk_and_the_row_is_put_in_order_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: TrialState
) -> None:
    with box(tmp_path, monkeypatch, RIGHT) as clinic:
        with open_reader(clinic):
            trial = clinic.trial()
        if state is TrialState.COMMITTED:
            installer.commit_trial(clinic.store, NAME)  # its link first
        else:
            why = PACK_TRIAL_FAILED(pack=NAME, version=NEW, before=OLD, images=3)
            PackTrials(clinic.rig.clinical.database).end(trial, state, "box", Reason.from_error(why))  # the row first
        with open_reader(clinic) as made:
            assert clinic.trial().state is state
            assert made.trials is not None
            assert made.trials.list_codes() == ([] if state is TrialState.COMMITTED else ["pack.trial_failed"])
        assert clinic.store.find_trial_version(NAME) is None
        assert clinic.serving() == (NEW if state is TrialState.COMMITTED else OLD)


def test_a_stalled_trial_delays_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with box(tmp_path, monkeypatch, HANGS, infer_seconds=20.0) as clinic, open_reader(clinic) as made:
        clinic.flag.touch()
        clinic.film(2)
        run_reader(made, lambda: _is_at_work(made))
        for number in range(3, 8):
            clinic.film(number)
        run_reader(made, lambda: len(clinic.readings()) == 6, seconds=5.0)


def _is_at_work(made: Reader) -> bool:
    """Whether the shadow's inference child has its model and so its first image."""
    assert made.trials is not None
    shadow = made.trials._shadow
    return shadow is not None and shadow._inference is not None and bool(shadow._inference._loaded)
