"""What a revision said stays; a late image or a fact about the patient makes the next one, with its own advice."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from firmware_app.cases import follow_up
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.errors import REVISION_UNKNOWN, CaseUnknown
from firmware_app.cli import read as read_command
from firmware_app.cli.errors import BACKGROUND_INVALID
from firmware_app.core.records import (
    Case,
    FileRecord,
    FileStatus,
    Finding,
    FollowUp,
    Instance,
    Lesion,
    Priority,
    Reading,
    Reason,
)
from firmware_app.packs.manifest import Manifest
from firmware_app.reading import reader_steps
from firmware_app.reading.errors import AGE_OUTSIDE
from tests import toy_pack
from tests.cases import admit, make_reading
from tests.refusals import raises_refusal

BRIGHT = Finding("bright", {"en": "Bright"}, 0.9, 0.5)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """A pack with rules of its own: something large, or nothing with a fact."""
    pack = toy_pack.write(tmp_path, "toy", "adult", 18, None)
    words = {"en": "See a doctor.", "zh": "请就诊。"}
    row = {"advice": words, "rule": words, "source": "Guideline, 2020;1:2"}
    manifest = json.loads((pack / "manifest.json").read_text())
    manifest["follow_up"] = {
        "background": [{"code": "family", "label": words, "diagnoses": ["I10:Z80.3"]}],
        "rows": [
            {**row, "code": "none", "nothing": True},
            {**row, "code": "surveillance", "nothing": True, "background": ["family"]},
            {**row, "code": "small", "finding": "bright"},
            {**row, "code": "large", "finding": "bright", "long_axis_mm": {"at_least": 20.0}},
        ],
    }
    (pack / "manifest.json").write_text(json.dumps(manifest))
    return Manifest.load(pack)


def make_lesion_reading(instance: Instance, size: float | None, **more: Any) -> Reading:
    """A reading of the pack “toy” with one lesion of *size* mm, or without one."""
    whole = make_reading(instance)
    assert whole.pack is not None
    lesion = Lesion(instance.reference, 0, (1.0, 2.0, 3.0, 4.0), 0.9, long_axis_mm=size, tags={"finding": "bright"})
    found = replace(BRIGHT, probability=0.9 if size else 0.1)
    pack = replace(whole.pack, name="toy")
    return replace(whole, pack=pack, findings=(found,), lesions=(lesion,) if size else (), **more)


class Desk:
    """A clinical database whose revisions are closed with the advice of one pack."""

    def __init__(self, clinical: ClinicalDatabase, manifest: Manifest) -> None:
        self.clinical, self.manifests = clinical, {"toy": manifest}

    def bring(self, number: int, size: float | None, **more: Any) -> str:
        """One more image of the study, read; returns the case."""
        instance = admit(self.clinical, number)
        self.clinical.finish(instance, make_lesion_reading(instance, size, **more), Priority.SOON)
        return instance.case

    def close(self) -> list[str]:
        return self.clinical.close_revisions(0.0, advise=self.advise)

    def advise(self, case: Case, known: Collection[str]) -> FollowUp | None:
        return reader_steps.advise_follow_up(case, self.manifests, known)


@pytest.fixture
def desk(clinical: ClinicalDatabase, manifest: Manifest) -> Desk:
    return Desk(clinical, manifest)


def advice(case: Case) -> str:
    return case.follow_up.code if case.follow_up is not None else ""


def test_a_late_image_revises_the_case_and_the_earlier_revision_stays(desk: Desk) -> None:
    case = desk.bring(1, 12.0)
    assert advice(desk.clinical.load_case(case)) == "", "no advice while images may still come"
    desk.close()
    first = desk.clinical.load_case(case)
    assert (first.revision, advice(first), len(first.lesions)) == (1, "follow_up.small", 1)
    desk.bring(2, 25.0)
    assert advice(desk.clinical.load_case(case)) == "", "the advice of revision 1 is not that of what has come since"
    desk.close()
    second = desk.clinical.load_case(case)
    assert (second.revision, advice(second), len(second.lesions)) == (2, "follow_up.large", 2)
    kept = desk.clinical.load_case(case, 1)
    assert kept.follow_up == first.follow_up
    assert (kept.lesions, kept.findings, kept.priority) == (first.lesions, first.findings, first.priority)
    said = [follow_up.load_conclusion(desk.clinical.database.connection, case, revision) for revision in (1, 2)]
    assert [len(one.images) for one in said if one is not None] == [1, 2]
    with raises_refusal(REVISION_UNKNOWN):
        desk.clinical.load_case(case, 3)


def test_a_fact_that_a_person_enters_raises_the_advice_in_the_next_revision_without_another_reading(desk: Desk) -> None:
    case = desk.bring(1, None)
    desk.close()
    assert advice(desk.clinical.load_case(case)) == "follow_up.none"
    before = desk.clinical.load_case(case).findings
    assert follow_up.enter_facts(desk.clinical.database, case, {"family": True}, "li") == 1
    assert desk.clinical.count_unread() == 0
    assert desk.close() == [case]
    after = desk.clinical.load_case(case)
    assert (after.revision, advice(after)) == (2, "follow_up.surveillance")
    assert after.findings == before, "a background never changes a probability"
    said = [follow_up.load_conclusion(desk.clinical.database.connection, case, revision) for revision in (1, 2)]
    assert [one.background for one in said if one is not None] == [(), ("family",)]
    assert follow_up.enter_facts(desk.clinical.database, case, {"family": True}, "li") == 0
    assert desk.close() == [], "the same word again changes nothing"
    entries = desk.clinical.database.connection.execute("SELECT action, actor, details FROM audit").fetchall()
    assert [tuple(row) for row in entries] == [("background.entered", "li", '{"fact": "family"}')]
    with pytest.raises(CaseUnknown):
        follow_up.enter_facts(desk.clinical.database, "c-nowhere", {"family": True}, "li")


def test_what_a_person_says_stands_before_what_a_header_codes(desk: Desk) -> None:
    case = desk.bring(1, None, background=("family",))
    desk.close()
    assert advice(desk.clinical.load_case(case)) == "follow_up.surveillance"
    follow_up.enter_facts(desk.clinical.database, case, {"family": False}, "li")
    desk.close()
    assert advice(desk.clinical.load_case(case)) == "follow_up.none"


def test_nothing_is_advised_for_nothing_where_an_image_was_not_read(desk: Desk) -> None:
    case = desk.bring(1, None)
    second = admit(desk.clinical, 2)
    desk.clinical.finish(second, make_reading(second, refusal=AGE_OUTSIDE(age=9)), Priority.CANNOT_JUDGE)
    desk.close()
    assert advice(desk.clinical.load_case(case)) == ""
    desk.bring(3, 12.0)
    desk.close()
    assert advice(desk.clinical.load_case(case)) == "follow_up.small", "what was seen stays seen"


def test_a_refused_file_keeps_a_case_from_being_called_empty(desk: Desk) -> None:
    case = desk.clinical.load_case(desk.bring(1, None))
    assert reader_steps.advise_follow_up(case, desk.manifests, ()) is not None
    refused = FileRecord("b.dcm", None, FileStatus.REFUSED, Reason("intake.truncated", {"where": "(7FE0,0010)"}))
    assert reader_steps.advise_follow_up(replace(case, files=(*case.files, refused)), desk.manifests, ()) is None
    assert (
        reader_steps.advise_follow_up(replace(case, incomplete=Reason("stick.incomplete")), desk.manifests, ()) is None
    )


def test_the_background_is_json_or_a_file_with_it(tmp_path: Path) -> None:
    assert read_command._parse_background(None) == {}
    assert read_command._parse_background('{"family": true}') == {"family": True}
    (tmp_path / "b.json").write_text('{"virus": false}')
    assert read_command._parse_background(str(tmp_path / "b.json")) == {"virus": False}
    for wrong in ('{"family": "yes"}', "{", str(tmp_path / "none.json")):
        with raises_refusal(BACKGROUND_INVALID):
            read_command._parse_background(wrong)
