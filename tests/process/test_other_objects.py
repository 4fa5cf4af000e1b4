"""What is no image is kept, makes no reading and no row in a list, and is told of beside the images it came with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID

from firmware_app.cases.accounts import Accounts, Role
from firmware_app.cases.case_lists import CaseLists
from firmware_app.cli.command_line import main
from firmware_app.dicom.sop_classes import OBJECT_KINDS, kind_of_class
from tests import films, reading_rig, viewer
from tests.reading_rig import Rig
from web.app import create_app

STORAGE = "1.2.840.10008.5.1.4.1.1."
SR, KO, PR, SEG, RTSTRUCT, REG, PDF, ECG = "88.33", "88.59", "11.1", "66.4", "481.3", "66.1", "104.1", "9.1.1"
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "case.schema.json").read_text("utf-8"))


def make_sibling(of: FileDataset, suffix: str) -> FileDataset:
    """An object of the class in the study of the film *of*, with what its class must hold."""
    made = films.film(SOPClassUID=STORAGE + suffix, StudyInstanceUID=of.StudyInstanceUID, Modality="OT")
    made.file_meta.MediaStorageSOPClassUID = UID(STORAGE + suffix)
    if suffix != SEG:
        del made.PixelData
    made.ContentSequence = made.WaveformSequence = [Dataset()]
    made.EncapsulatedDocument = b"%PDF"
    return made


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        (SR, "report"),
        (KO, "key_objects"),
        (PR, "presentation"),
        (SEG, "segmentation"),
        (RTSTRUCT, "radiotherapy"),
        (REG, "registration"),
        (PDF, "document"),
        (ECG, "waveform"),
        ("481.5", "radiotherapy"),
        ("66", "other"),
    ],
)
def test_the_sop_class_says_what_is_no_image(suffix: str, kind: str) -> None:
    assert kind_of_class(STORAGE + suffix) == kind


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Rig]:
    with reading_rig.rig(reading_rig.config(tmp_path)) as made:
        yield made


def list_cases(box: Rig) -> list[str]:
    worklist = CaseLists(box.clinical)
    return [row.case for tab in ("open", "cannot-judge", "done") for row in worklist.list_rows(tab, 99)]


def read(box: Rig) -> None:
    with reading_rig.reader(box) as reader:
        reading_rig.read_all(reader)
    box.clinical.close_revisions(0)


def test_a_report_alone_is_no_case_until_its_film_comes(box: Rig) -> None:
    film = reading_rig.tiny_film(1)
    report = box.admit(make_sibling(film, SR))
    read(box)
    assert (box.state.root / report.file).exists()
    assert list_cases(box) == []
    assert list(box.clinical.load_cases()) == []
    assert box.clinical.count_queue().waiting == 0
    instance = box.admit(film)
    read(box)
    case = box.case(instance)
    assert list_cases(box) == [case.reference] == [report.case]
    assert (case.modality, case.priority, len(case.readings), case.revision) == ("CR", case.priority, 1, 1)
    assert case.priority not in (None, "cannot-judge")
    assert CaseLists(box.clinical).list_rows("open", 9)[0].images == 1


def test_the_case_page_tells_what_came_along(box: Rig) -> None:
    film = reading_rig.tiny_film(1)
    instance = box.admit(film)
    for suffix in (SR, SR, PDF):
        box.admit(make_sibling(film, suffix))
    read(box)
    accounts = Accounts(box.state.accounts_db)
    accounts.create()
    app = create_app(box.config, box.state, box.clinical, accounts, viewer.Silent(None))
    client = app.test_client()
    viewer.post(client, "/claim", code=accounts.add("he", Role.DOCTOR), password=viewer.PASSWORD, again=viewer.PASSWORD)
    page = client.get(f"/case/{instance.case}", headers=viewer.HTML).text
    accounts.database.close()
    assert "2 × structured report" in page
    assert "1 × document such as a PDF" in page
    assert 'data-waiting="0"' in page
    assert page.count('class="image"') == 1


def test_lantern_read_has_one_entry_for_each_file_and_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "given"
    given.mkdir()
    film = reading_rig.tiny_film(1)
    films.save(given, "film.dcm", film)
    for number, suffix in enumerate((SR, KO, PR, SEG, RTSTRUCT, REG, PDF, ECG)):
        films.save(given, f"{number}.dcm", make_sibling(film, suffix))
    films.save(given, "alone.dcm", make_sibling(reading_rig.tiny_film(2), SR))
    config = reading_rig.config(tmp_path)
    monkeypatch.setenv("LANTERN_PACKS__DIR", str(config.packs.dir))
    monkeypatch.setenv("LANTERN_BOX__LANGUAGE", "en")
    monkeypatch.setenv("LANTERN_READER__PRECISION", "fp32")
    assert main(["read", "--json", str(given)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for line in lines:
        jsonschema.validate(line, SCHEMA)
    entries = {Path(file["path"]).name: file for line in lines for file in line["files"]}
    assert sum(len(line["files"]) for line in lines) == len(entries) == 10
    assert {file["status"] for file in entries.values()} == {"read"}
    assert entries["film.dcm"]["reason"] is None
    assert entries["3.dcm"]["reason"]["code"] == OBJECT_KINDS["segmentation"]
    assert [[line["case"] is None, len(line["readings"])] for line in lines] == [[False, 1], [True, 0]]
