"""How the packs do at each clinic: the latest word of each box is kept, an older one changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_app.errors import Outdated
from firmware_app.records import LocalState
from firmware_app.sealed.figures import PlaceFigures
from firmware_app.sealed.summary import ClinicFigures, Origin
from hospital.inbox.inbox_db import Inbox
from hospital.line import ingest


def figures(session: int, beat: int, confirmed: int, stream: str = "5") -> ClinicFigures:
    place = PlaceFigures(
        "chest-xray-child", "1.2.0", "m-" + "0" * 20, "pneumonia", LocalState.SUSPENDED, 5000, 400, confirmed, 30,
        (55, 44, 66), (), (),
    )  # fmt: skip
    return ClinicFigures(Origin("clinic-7", stream * 32, session, "b" * 16), beat, (place,), None)


def test_the_latest_word_of_a_box_counts(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox.db")
    inbox.create()
    assert inbox.keep_figures(figures(2, 1, 50))
    assert not inbox.keep_figures(figures(2, 1, 50)), "the same once more"
    assert inbox.keep_figures(figures(2, 3, 60))
    with pytest.raises(Outdated):
        inbox.keep_figures(figures(2, 2, 55))
    assert [row["confirmed"] for row in inbox.figures()] == [60]
    assert inbox.keep_figures(figures(1, 0, 61, stream="6")), "a new stream begins anew"
    (row,) = inbox.figures()
    assert (row["box"], row["state"], row["auc"], row["confirmed"]) == ("clinic-7", "suspended", [55, 44, 66], 61)


def test_the_topic_is_known() -> None:
    assert ingest.address("lantern/v1/up/clinic-7/drift")[1].value == "drift"
