"""`lantern read` over files: one entry for every file, nothing of a box touched, nothing left behind."""

from __future__ import annotations

import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import jsonschema
import numpy as np
import psutil
import pytest
from PIL import Image

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cli.command_line import main
from firmware_app.cli.errors import TEMPORARY_UNUSABLE, OutputUnusable, TemporaryFull
from firmware_app.cli.offline_reading import read_paths
from firmware_app.core.records import Case
from firmware_app.packs.errors import PACK_UNKNOWN
from firmware_app.results.case_json import case_to_json
from tests import films, reading_rig
from tests.peers import need_root
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


def test_a_case_is_told_when_its_own_images_are_read_whatever_lies_between_them(tmp_path: Path) -> None:
    first = reading_rig.tiny_film(1)
    films.save(tmp_path, "1.dcm", first)
    films.save(tmp_path, "2.dcm", reading_rig.tiny_film(2))
    films.save(tmp_path, "3.dcm", reading_rig.tiny_film(3, StudyInstanceUID=first.StudyInstanceUID))
    progress: list[tuple[int, int]] = []
    cases = read_paths(
        [tmp_path / f"{number}.dcm" for number in (1, 2, 3)],
        reading_rig.config(tmp_path),
        on_progress=lambda done, total: progress.append((done, total)),
    )
    case = next(cases)
    assert [(Path(file.path).name, file.status.value) for file in case.files] == [("1.dcm", "read"), ("3.dcm", "read")]
    assert case.revision == 1
    assert progress == [(0, 3), (1, 3), (2, 3)]
    assert [Path(file.path).name for left in cases for file in left.files] == ["2.dcm"]


def test_a_name_that_is_no_utf_8_can_be_had_back_byte_by_byte(tmp_path: Path) -> None:
    film = films.save(tmp_path, "film.dcm", reading_rig.tiny_film(1)).read_bytes()
    folder = tmp_path / "stick"
    folder.mkdir()
    # The same word as an old Windows and as a new one writes it: two files, though a person reads one name.
    names = ["胸片.dcm".encode("gb18030"), "胸片.dcm".encode(), b"\xff\xfe %41.dcm"]
    for name in names:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(film)
    (case,) = read(folder, tmp_path)
    line = json.loads(json.dumps(case_to_json(case, "en"), ensure_ascii=False).encode())
    jsonschema.validate(line, SCHEMA)
    files = line["files"]
    assert sum(Path(file["path"]).name == "胸片.dcm" for file in files) == 2
    had = [unquote_to_bytes(file["path_bytes"]) if "path_bytes" in file else file["path"].encode() for file in files]
    assert set(had) == {os.fsencode(folder) + b"/" + name for name in names}


def test_what_a_terminal_would_obey_is_shown_and_not_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = tmp_path / "\x1b]0;owned\x07\x1b[2J\rread  all well.txt"
    evil.write_text("x")
    assert main(["read", str(evil)]) == 3
    said = capsys.readouterr().out
    assert "\\x1b]0;owned\\x07\\x1b[2J\\rread  all well.txt" in said
    assert all(line.isprintable() for line in said.splitlines())


def test_a_path_that_may_not_be_looked_at_is_told_and_hides_nothing_else(
    stick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may look at everything, so the system's answers are put in its mouth."""
    scandir, status = os.scandir, os.stat

    def no_scandir(path: Any = ".") -> Any:
        if str(path).endswith("/deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    def no_status(path: Any, **more: Any) -> Any:
        if "secret" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return status(path, **more)

    config = reading_rig.config(tmp_path)
    monkeypatch.setattr(os, "scandir", no_scandir)
    monkeypatch.setattr(os, "stat", no_status)
    monkeypatch.setattr(os, "lstat", lambda path, **more: no_status(path, follow_symlinks=False, **more))
    cases = list(read_paths([stick, tmp_path / "secret" / "film.dcm"], config))
    reasons = {file.path: file.reason.code if file.reason else None for case in cases for file in case.files}
    assert reasons[str(stick / "deep")] == reasons[str(tmp_path / "secret" / "film.dcm")] == "intake.unreadable"
    assert reasons[str(stick / "film.dcm")] is None
    assert len(reasons) == 9


def test_progress_ends_with_all_files_done(stick: Path, tmp_path: Path) -> None:
    progress: list[tuple[int, int]] = []
    read(stick, tmp_path, on_progress=lambda done, total: progress.append((done, total)))
    assert progress[-1] == (8, 8)
    assert progress == sorted(progress)


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


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_what_nobody_reads_any_more_is_not_read_on_and_is_no_success(
    stick: Path, tmp_path: Path, form: tuple[str, ...]
) -> None:
    """`lantern read stick | head -1`, with a head that has gone before the first line."""
    (tmp_path / "tmp").mkdir()
    packs = reading_rig.config(tmp_path).packs.dir
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "LANTERN_PACKS__DIR": str(packs)}
    ours, theirs = os.pipe()
    os.close(ours)
    with open(theirs, "wb") as nobody:  # noqa: PTH123 - it is a descriptor
        command = [sys.executable, "-m", "firmware_app", "read", str(stick), *form]
        done = subprocess.run(
            command, env=environment, stdout=nobody, stderr=subprocess.PIPE, text=True, check=False, timeout=120
        )
    assert done.returncode == 141
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert list((tmp_path / "tmp").iterdir()) == [], "no copy of an image is left"


def test_a_ctrl_c_that_comes_while_all_is_tidied_disturbs_nothing(
    stick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    tidied, pressed = tempfile.TemporaryDirectory.cleanup, []

    def press_and_tidy(folder: tempfile.TemporaryDirectory[str]) -> None:
        pressed.append(folder.name)
        signal.raise_signal(signal.SIGINT)
        tidied(folder)

    monkeypatch.setattr(tempfile.TemporaryDirectory, "cleanup", press_and_tidy)
    before = signal.getsignal(signal.SIGINT)
    cases: list[Case] = []
    with suppress(KeyboardInterrupt):  # which would end pytest
        cases = read(stick, tmp_path)
    assert len(pressed) == 1
    assert list((tmp_path / "tmp").iterdir()) == []
    assert sum(len(case.files) for case in cases) == 8
    assert signal.getsignal(signal.SIGINT) is before


def test_results_that_cannot_be_written_are_a_sentence_before_the_work(stick: Path, tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    progress: list[tuple[int, int]] = []
    with pytest.raises(OutputUnusable, match="a-file"):
        list(
            read_paths(
                [stick],
                reading_rig.config(tmp_path),
                out=tmp_path / "a-file",
                on_progress=lambda done, total: progress.append((done, total)),
            )
        )
    assert progress == []


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


def test_ctrl_c_while_the_children_start_is_one_sentence_and_no_traceback(stick: Path, tmp_path: Path) -> None:
    called, environment = command(tmp_path, stick)
    with subprocess.Popen(
        called, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:

        def children_out_of_reach() -> bool:
            """Both, and neither in the group that a terminal's Ctrl-C reaches, as each is for a moment of its birth."""
            groups = [os.getpgid(child.pid) for child in psutil.Process(process.pid).children()]
            return len(groups) == 2 and process.pid not in groups

        reading_rig.wait_until(children_out_of_reach)
        family = psutil.Process(process.pid).children()
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert said == "Stopped: 8 of 8 files were not read. What was printed is final.\n"
    assert process.returncode == 130
    assert psutil.wait_procs(family, timeout=10)[1] == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_on_a_terminal_no_case_is_printed_behind_the_progress(tmp_path: Path) -> None:
    folder = tmp_path / "stick"
    folder.mkdir()
    for number in range(3):
        films.save(folder, f"{number}.dcm", reading_rig.tiny_film(number))
    called, environment = command(tmp_path, folder)
    ours, theirs = pty.openpty()
    with subprocess.Popen(called, env=environment, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = bytearray()
        while True:
            try:
                seen += os.read(ours, 4096)
            except OSError:  # EIO: the last one has closed the terminal
                break
    os.close(ours)
    assert process.returncode == 0
    assert b"read 2 of 3" in seen
    lines = [line.rpartition("\r\x1b[K")[2].strip("\r") for line in seen.decode().split("\r\n")]
    assert [line for line in lines if line.startswith("c-")] == [line for line in lines if "c-" in line]
    assert sum(line.startswith("c-") for line in lines) == 3


def test_of_a_full_folder_for_temporary_files_its_name_is_told_and_how_to_take_another(
    stick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    config = reading_rig.config(tmp_path)
    scarce = config.model_copy(update={"retention": config.retention.model_copy(update={"high_water_free_mb": 10**12})})
    (case,) = read_paths([stick / "film.dcm"], scarce)
    (file,) = case.files
    assert file.reason is not None
    assert file.reason.code == "read.temporary_full"
    assert str(tmp_path / "tmp") in file.reason.text("en")
    assert "TMPDIR=" in file.reason.text("en")
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    with raises_refusal(TEMPORARY_UNUSABLE, match=r"nowhere.*TMPDIR="):
        read(stick, tmp_path / "again")


def test_a_folder_for_temporary_files_that_holds_no_database_is_a_sentence(stick: Path, tmp_path: Path) -> None:
    need_root()
    called, environment = command(tmp_path, stick)
    with small_disk(tmp_path / "tmp", "size=200k") as temporary:
        done = subprocess.run(called, env=environment, capture_output=True, text=True, check=False, timeout=60)
        left = list(temporary.iterdir())
    assert (done.returncode, done.stdout, left) == (1, "", [])
    assert done.stderr.startswith(f"{TemporaryFull.code}: The folder for temporary files, {tmp_path / 'tmp'}, ")
    assert done.stderr.count("\n") == 1


def test_a_disk_too_full_for_the_doors_journal_loses_no_file(
    stick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(ClinicalDatabase, "record_refusal", full)
    answer = Counter(Path(file.path).name for case in read(stick, tmp_path) for file in case.files)
    assert answer == Counter(path.name for path in stick.rglob("*") if path.is_file() and not path.is_symlink())


def test_nothing_to_read_is_said_and_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["read", "--json", str(tmp_path / "empty")]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
