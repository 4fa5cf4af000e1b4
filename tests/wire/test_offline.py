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

from firmware_app.cli.command_line import main
from firmware_app.cli.errors import OutputUnusable
from firmware_app.cli.offline_reading import read_paths
from firmware_app.core.records import Case
from firmware_app.packs.errors import PACK_UNKNOWN
from firmware_app.results.case_json import case_to_json
from tests import films, reading_rig
from tests.refusals import raises_refusal
from tests.small_disk import small_disk

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
        jsonschema.validate(json.loads(json.dumps(case_to_json(case, "zh_CN"))), SCHEMA)
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
        "thumbnail.jpg",
        f"{instance}-frame-000.png",
        f"{instance}-bright.png",
    }
    with Image.open(folder / f"{instance}-bright.png") as overlay:
        assert (overlay.mode, overlay.size) == ("RGB", (80, 96))
    assert json.loads((folder / "case.json").read_text("utf-8"))["case"] == cases[0].reference


def test_pictures_are_seen_through_the_machines_own_window(tmp_path: Path) -> None:
    film = reading_rig.tiny_film(1, WindowCenter=1500, WindowWidth=1000)
    films.save(tmp_path, "film.dcm", film)
    (case,) = read(tmp_path / "film.dcm", tmp_path, out=tmp_path / "out")
    (instance,) = case.readings[0].instances
    with Image.open(tmp_path / "out" / str(case.reference) / f"{instance}-frame-000.png") as picture:
        assert picture.mode == "L"
        seen = np.asarray(picture, dtype=np.float64)
    wanted = np.clip((film.pixel_array - 1499.5) / 999 + 0.5, 0, 1) * 255  # PS3.3 C.11.2.1.2.1
    assert (wanted.min(), wanted.max()) == (0, 255)
    assert np.abs(seen - wanted).max() < 1.5


def test_nothing_is_left_behind_also_when_the_consumer_stops_early_or_the_pack_is_unknown(
    stick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    before = set(psutil.Process().children())  # boxes that other tests keep for the whole run
    cases = read_paths([stick], reading_rig.config(tmp_path))
    next(cases)
    assert list((tmp_path / "tmp").iterdir())
    cases.close()
    assert list((tmp_path / "tmp").iterdir()) == []
    packs = tmp_path / "packs"
    with raises_refusal(PACK_UNKNOWN):
        list(read_paths([stick], reading_rig.config(tmp_path, packs), pack="nonesuch"))
    assert list((tmp_path / "tmp").iterdir()) == []
    assert set(psutil.Process().children()) <= before


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_ctrl_c_or_sigterm_leaves_no_process_and_no_file(
    stick: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    for more in range(60):
        films.save(stick, f"more-{more}.dcm", reading_rig.tiny_film(more + 100))
    (tmp_path / "tmp").mkdir()
    packs = reading_rig.config(tmp_path).packs.dir
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "LANTERN_PACKS__DIR": str(packs)}
    command = [sys.executable, "-m", "firmware_app", "read", str(stick)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    reading_rig.wait_until(lambda: len(psutil.Process(process.pid).children()) == 2)
    family = psutil.Process(process.pid).children()
    process.send_signal(number)
    assert process.wait(timeout=30) == status
    assert psutil.wait_procs(family, timeout=10)[1] == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_disk_that_fills_up_under_the_results_leaves_no_half_object_that_says_the_folder_is_whole(
    tmp_path: Path,
) -> None:
    film = films.save(tmp_path, "film.dcm", reading_rig.tiny_film(1)).read_bytes()
    folder = tmp_path / "stick"
    folder.mkdir()
    for number in range(60):  # so that the object takes several blocks
        (folder / f"{number}.dcm").write_bytes(film)
    roomy, config = tmp_path / "roomy", reading_rig.config(tmp_path)
    (case,) = read_paths([folder], config, out=roomy)
    block = 4096
    taken = {path.name: -(-path.stat().st_size // block) for path in (roomy / str(case.reference)).iterdir()}
    assert taken.pop("case.json") > 2
    with small_disk(tmp_path / "out", f"size={(sum(taken.values()) + 1) * block}") as full:  # room for its first one
        with pytest.raises(OutputUnusable, match="out"):
            list(read_paths([folder], config, out=full))
        (left,) = full.iterdir()
        assert {path.suffix for path in left.iterdir()} == {".png", ".jpg"}
        assert len(list(left.iterdir())) == len(taken)


def command(tmp_path: Path, *arguments: str | Path) -> tuple[list[str | Path], dict[str, str]]:
    """`lantern read` with toy packs, and an environment whose temporary files can be counted."""
    (tmp_path / "tmp").mkdir()
    config = reading_rig.config(tmp_path)
    environment = {
        **os.environ,
        "TMPDIR": str(tmp_path / "tmp"),
        "LANTERN_PACKS__DIR": str(config.packs.dir),
        "LANTERN_BOX__LANGUAGE": "en",
        "LANTERN_READER__PRECISION": "fp32",
    }
    return [sys.executable, "-m", "firmware_app", "read", *arguments], environment


@pytest.mark.parametrize("form", [("--json",), ()])
def test_ctrl_c_loses_only_what_was_not_read_and_says_how_much_that_is(tmp_path: Path, form: tuple[str, ...]) -> None:
    folder = tmp_path / "stick"
    folder.mkdir()
    for number in range(40):
        films.save(folder, f"{number}.dcm", reading_rig.tiny_film(number))
    called, environment = command(tmp_path, folder, *form)
    # Nobody empties the pipe, which holds a few cases: so the work cannot be over when the signal comes.
    with subprocess.Popen(
        called,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        pipesize=4096,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        rest, said = process.communicate(timeout=60)
    lines = (first + rest).decode().splitlines()
    if form:
        for line in lines:
            jsonschema.validate(json.loads(line), SCHEMA)
        printed = len(lines)
    else:
        printed = sum(line.startswith("  read ") for line in lines)
    assert process.returncode == 130
    assert 1 <= printed < 40
    assert said.decode() == f"Stopped: {40 - printed} of 40 files were not read. What was printed is final.\n"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_nothing_to_read_is_said_and_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["read", "--json", str(tmp_path / "empty")]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
