"""`lantern read --out`: what stands in its folder, and a second run that goes on where the first one stopped."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from firmware_app.cli.offline_reading import SkippedFiles, read_paths
from firmware_app.core.records import Case
from firmware_app.core.settings import Config
from tests import films, reading_rig


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return reading_rig.config(tmp_path)


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """Three studies, one of two films and one of a single film that is there twice, and a note."""
    folder = tmp_path / "stick"
    folder.mkdir()
    first = reading_rig.tiny_film(1)
    films.save(folder, "1.dcm", first)
    films.save(folder, "2.dcm", reading_rig.tiny_film(2, StudyInstanceUID=first.StudyInstanceUID))
    films.save(folder, "3.dcm", reading_rig.tiny_film(3))
    films.save(folder, "4.dcm", reading_rig.tiny_film(4))
    (folder / "4 again.dcm").write_bytes((folder / "4.dcm").read_bytes())
    (folder / "notes.txt").write_text("not an image")
    return folder


def read_stick(stick: Path, config: Config, out: Path) -> tuple[list[Case], SkippedFiles]:
    told: list[SkippedFiles] = []
    cases = list(read_paths([stick], config, out=out, on_skipped=told.append))
    (skipped,) = told
    return cases, skipped


def entries(cases: list[Case]) -> Counter[tuple[str, str]]:
    return Counter((Path(file.path).name, file.status.value) for case in cases for file in case.files)


def lines(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "cases.jsonl").read_text("utf-8").splitlines()]


def test_a_second_run_reads_no_image_again_and_says_the_same(stick: Path, config: Config, tmp_path: Path) -> None:
    first, skipped = read_stick(stick, config, tmp_path / "out")
    assert skipped == SkippedFiles(0, 0)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/*")}
    second, skipped = read_stick(stick, config, tmp_path / "out")
    assert skipped == SkippedFiles(5, 0)
    assert entries(second) == entries(first)
    assert {case.reference for case in second} == {case.reference for case in first}
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/*")} == before


def test_what_was_finished_before_a_ctrl_c_is_kept_and_the_next_run_reads_the_rest(
    stick: Path, config: Config, tmp_path: Path
) -> None:
    cases = read_paths([stick], config, out=tmp_path / "out")
    done = next(cases)
    cases.close()
    assert [line["case"] for line in lines(tmp_path / "out")] == [done.reference]
    assert str(done.reference) in (tmp_path / "out" / "index.html").read_text("utf-8")
    again, skipped = read_stick(stick, config, tmp_path / "out")
    assert skipped.files == len(done.files)
    assert len(again) == len(lines(tmp_path / "out")) == 4
