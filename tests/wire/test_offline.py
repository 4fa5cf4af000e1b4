"""`lantern read` over files: one entry for every file, nothing of a box touched, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import jsonschema
import numpy as np
import psutil
import pytest
from PIL import Image

from firmware_app.errors import OutputUnusable, PackUnknown
from firmware_app.offline import read_paths
from firmware_app.records import Case
from firmware_app.reports.case_line import case_object
from tests import films, reading_rig

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "case.schema.json").read_text("utf-8"))


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """A folder as people bring it."""
    folder = tmp_path / "stick"
    (folder / "deep").mkdir(parents=True)
    film = reading_rig.tiny_film(1)
    films.save(folder, "film.dcm", film)
    films.save(folder / "deep", "again.dcm", film)
    films.save(folder, "side.dcm", reading_rig.tiny_film(2, StudyInstanceUID=film.StudyInstanceUID, ViewPosition="LL"))
    films.save(folder, "child.dcm", reading_rig.tiny_film(3, PatientAge="003Y"))
    (folder / "cut.dcm").write_bytes((folder / "film.dcm").read_bytes()[:2000])
    (folder / "notes.txt").write_text("not an image, and no secret")
    (folder / "empty").touch()
    Image.fromarray(np.eye(40, dtype=np.uint8) * 200).save(folder / "photo.png")
    (folder / "link.dcm").symlink_to(folder / "film.dcm")
    return folder


def read(stick: Path, tmp_path: Path, **more: object) -> list[Case]:
    return list(read_paths([stick], reading_rig.config(tmp_path), **more))  # type: ignore[arg-type]


def test_every_regular_file_has_exactly_one_entry_and_every_line_keeps_the_schema(stick: Path, tmp_path: Path) -> None:
    cases = read(stick, tmp_path)
    for case in cases:
        jsonschema.validate(json.loads(json.dumps(case_object(case, "zh_CN"))), SCHEMA)
    entries = Counter(file.path for case in cases for file in case.files)
    regular = [str(path) for path in stick.rglob("*") if path.is_file() and not path.is_symlink()]
    assert entries == Counter(regular)
    statuses = {Path(file.path).name: file.status.value for case in cases for file in case.files}
    # Of two equal files the first one given is the image, the later one a duplicate.
    assert {statuses.pop("film.dcm"), statuses.pop("again.dcm")} == {"read", "duplicate"}
    assert statuses == {
        "side.dcm": "cannot-judge",
        "child.dcm": "read",
        "cut.dcm": "refused",
        "notes.txt": "refused",
        "empty": "refused",
        "photo.png": "cannot-judge",
    }


def test_a_file_named_in_several_ways_has_one_entry(stick: Path, tmp_path: Path) -> None:
    film, link = stick / "film.dcm", tmp_path / "door"
    link.symlink_to(stick)
    paths = [film, film, stick / "deep" / ".." / "film.dcm", link / "film.dcm", stick, stick, link]
    cases = list(read_paths(paths, reading_rig.config(tmp_path)))
    entries = Counter(file.path for case in cases for file in case.files)
    assert entries == Counter(str(path) for path in stick.rglob("*") if path.is_file() and not path.is_symlink())


def test_what_belongs_to_no_case_comes_last_and_a_study_is_one_case(stick: Path, tmp_path: Path) -> None:
    cases = read(stick, tmp_path)
    assert [case.reference is None for case in cases] == [False, False, False, True]
    assert [case.revision for case in cases] == [1, 1, 1, 0]
    assert sorted(len(case.readings) for case in cases) == [0, 1, 1, 2]


def test_a_missing_path_is_told_like_any_refusal(tmp_path: Path) -> None:
    (case,) = read(tmp_path / "nowhere", tmp_path)
    assert [(file.status.value, file.reason.code) for file in case.files if file.reason] == [
        ("refused", "intake.unreadable")
    ]


def test_the_folder_of_a_case_holds_its_pictures_and_its_object(stick: Path, tmp_path: Path) -> None:
    cases = read(stick / "film.dcm", tmp_path, out=tmp_path / "out")
    (instance,) = cases[0].readings[0].instances
    folder = tmp_path / "out" / str(cases[0].reference)
    assert {path.name for path in folder.iterdir()} == {
        "case.json",
        f"{instance}-frame-000.png",
        f"{instance}-bright.png",
    }
    with Image.open(folder / f"{instance}-bright.png") as overlay:
        assert (overlay.mode, overlay.size) == ("RGB", (80, 96))
    assert json.loads((folder / "case.json").read_text("utf-8"))["case"] == cases[0].reference


def test_progress_ends_with_all_files_done(stick: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    read(stick, tmp_path, on_progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (8, 8)
    assert told == sorted(told)


def test_nothing_is_left_behind_also_when_the_consumer_stops_early_or_the_pack_is_unknown(
    stick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    before = set(psutil.Process().children())  # boxes that other tests keep for the whole run
    cases = read_paths([stick], reading_rig.config(tmp_path))
    next(cases)
    assert list((tmp_path / "tmp").iterdir())
    cases.close()  # type: ignore[attr-defined]
    assert list((tmp_path / "tmp").iterdir()) == []
    packs = tmp_path / "packs"
    with pytest.raises(PackUnknown):
        list(read_paths([stick], reading_rig.config(tmp_path, packs), pack="nonesuch"))
    assert list((tmp_path / "tmp").iterdir()) == []
    assert set(psutil.Process().children()) <= before


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_or_sigterm_leaves_no_process_and_no_file(
    stick: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    for more in range(60):
        films.save(stick, f"more-{more}.dcm", reading_rig.tiny_film(more + 100))
    (tmp_path / "tmp").mkdir()
    packs = reading_rig.config(tmp_path).packs.dir
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "LANTERN_PACKS__DIR": str(packs)}
    command = [sys.executable, "-m", "firmware_app.cli", "read", str(stick)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    reading_rig.until(lambda: len(psutil.Process(process.pid).children()) == 2)
    family = psutil.Process(process.pid).children()
    process.send_signal(number)
    assert process.wait(timeout=30) == status
    assert psutil.wait_procs(family, timeout=10)[1] == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_results_that_cannot_be_written_are_a_sentence_before_the_work(stick: Path, tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    told: list[tuple[int, int]] = []
    with pytest.raises(OutputUnusable, match="a-file"):
        list(
            read_paths(
                [stick],
                reading_rig.config(tmp_path),
                out=tmp_path / "a-file",
                on_progress=lambda done, total: told.append((done, total)),
            )
        )
    assert told == []
