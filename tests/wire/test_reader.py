"""The reader with its two real children: what it says of an image, and what it says when it cannot."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from PIL import Image

from firmware_app.core.records import PackIdentity, Priority, ReadingStatus
from firmware_app.reading.reader import Reader
from tests import films, reading_rig, toy_pack
from tests.reading_rig import Rig


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Rig]:
    packs = tmp_path / "packs"
    toy_pack.write(packs, "toy-adult", "adult", 18, None, threshold=0.6)
    toy_pack.write(packs, "toy-child", "children", 1, 5)
    with reading_rig.rig(reading_rig.config(tmp_path, packs)) as made:
        yield made


def test_a_film_is_read_shown_and_marked(box: Rig) -> None:
    film = box.admit(reading_rig.tiny_film(1))
    reading = box.read(film)
    assert reading.status is ReadingStatus.READ
    assert reading.pack == PackIdentity("toy-adult", "0.0.1", "onnxruntime", "fp32")
    assert [finding.code for finding in reading.findings] == ["bright"]
    assert 0 < reading.timing.decode < reading.timing.total
    shown = box.state.display / film.reference
    names = ["bright.png", "frame-000.json", "frame-000.png", "identity.json", "thumb.jpg"]
    assert sorted(path.name for path in shown.iterdir()) == names
    with Image.open(shown / "bright.png") as heat:
        assert (heat.mode, heat.size) == ("L", (213, 256))
    assert json.loads((shown / "frame-000.json").read_text())["rows"] == 96


def test_what_no_pack_reads_is_shown_to_people_with_the_reason(box: Rig) -> None:
    scan = box.admit(reading_rig.tiny_film(3, Modality="MR"))
    reading = box.read(scan)
    assert reading.reason is not None
    assert (reading.reason.code, reading.pack, reading.findings) == ("reading.modality", None, ())
    assert box.case(scan).priority is Priority.CANNOT_JUDGE
    assert (box.state.display / scan.reference / "frame-000.png").exists()


def test_a_broken_image_is_refused_once_and_the_next_one_is_read(box: Rig) -> None:
    good = reading_rig.tiny_film(4)
    broken = reading_rig.tiny_film(5, Rows=4000)
    first, second = box.admit(broken), box.admit(good)
    with reading_rig.reader(box) as reader:
        child = reader.decoder.pid
        assert reading_rig.read_all(reader) == 2
        assert reader.decoder.pid == child  # a refusal costs no process
    refused, read = box.reading(first), box.reading(second)
    assert reading_rig.read_reason_code(refused) == "imaging.undecodable"
    assert read.status is ReadingStatus.READ


@pytest.mark.parametrize("kind", ["film", "picture"])
def test_a_lost_file_is_said_at_once_and_the_next_image_is_read(box: Rig, kind: str) -> None:
    lost = box.admit(reading_rig.tiny_film(4)) if kind == "film" else box.admit_bytes(b"a picture", None)
    (box.state.root / lost.file).unlink()
    film = box.admit(reading_rig.tiny_film(5))
    with reading_rig.reader(box, "toy-adult") as reader:
        child = reader.decoder.pid
        assert reading_rig.read_all(reader) == 2
        assert reader.decoder.pid == child
    missing, read = box.reading(lost), box.reading(film)
    assert missing.reason is not None
    assert (missing.status, missing.reason.code) == (ReadingStatus.CANNOT_JUDGE, "imaging.missing")
    assert "Send the image again" in missing.reason.text("en")
    assert read.status is ReadingStatus.READ


def test_a_picture_is_read_by_the_pack_that_a_person_named_and_says_so(box: Rig, tmp_path: Path) -> None:
    Image.fromarray(films.shapes(1, 64, 70, 255).astype(np.uint8)).save(tmp_path / "photo.png")
    picture = box.admit_bytes((tmp_path / "photo.png").read_bytes(), None)
    with reading_rig.reader(box, "toy-child") as reader:
        reading_rig.read_all(reader)
    reading = box.reading(picture)
    assert reading.pack is not None
    assert reading.pack.name == "toy-child"
    assert [hint.code for hint in reading.quality.hints] == ["hint.pack_forced"]


def test_the_reader_logs_nothing_of_an_image(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = reading_rig.tiny_film(1, PatientName="LI^Hua", PatientID="P-7731", PatientBirthDate="19520304")
    with (
        caplog.at_level(logging.DEBUG),
        reading_rig.rig(reading_rig.config(tmp_path, decode_seconds=1e-6)) as box,
        reading_rig.reader(box) as reader,
    ):
        box.admit(kept)
        reading_rig.read_all(reader)
    assert "was lost over an image" in caplog.text, "it does log"
    for canary in ("Hua", "P-7731", "19520304", str(kept.SOPInstanceUID), str(kept.StudyInstanceUID)):
        assert canary not in caplog.text


def test_a_damaged_pack_gives_no_number(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pack = toy_pack.write(tmp_path / "damaged", "toy-adult", "adult", 18, None)
    (pack / "fp32.onnx").write_bytes((pack / "fp32.onnx").read_bytes()[:-1] + b"?")
    with reading_rig.rig(reading_rig.config(tmp_path, pack.parent)) as box:
        reading = box.read(reading_rig.tiny_film(7))
    assert reading_rig.read_reason_code(reading) == "reading.no_pack"
    assert "pack.digest" in caplog.text


@pytest.mark.parametrize(
    ("limit", "modality", "code"),
    [("decode_seconds", "CR", "reading.decode_gave_up"), ("infer_seconds", "CR", "reading.inference_gave_up")],
    ids=["to open", "to read"],
)
def test_an_image_that_always_takes_too_long_is_set_aside_after_two_tries(
    tmp_path: Path, limit: str, modality: str, code: str
) -> None:
    with reading_rig.rig(reading_rig.config(tmp_path, None, **{limit: 1e-6})) as box:
        assert reading_rig.read_reason_code(box.read(reading_rig.tiny_film(8, Modality=modality), tries=2)) == code


@pytest.mark.parametrize("fault", ["damaged"])
def test_while_no_pack_works_images_wait_unclaimed_and_are_read_when_one_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    packs, aside = tmp_path / "packs", tmp_path / "aside"
    sound = toy_pack.write(aside, "toy-adult", "adult", 18, None)
    packs.mkdir()
    runtimes = ["openvino"] if fault == "no runtime" else ["onnxruntime"]
    if fault != "no packs":
        shutil.copytree(sound, packs / "toy-adult")
    if fault == "damaged":
        (packs / "toy-adult" / "fp32.onnx").write_bytes(b"not a model")
    if fault == "no runtime":
        monkeypatch.setattr("firmware_app.packs.execution_variants._has", lambda *_: False)
    settings = reading_rig.config(tmp_path, packs, runtimes=runtimes)
    with reading_rig.rig(settings) as box, closing(Reader(settings, box.state, box.clinical, stop=Event())) as reader:
        film = box.admit(reading_rig.tiny_film(1))
        monkeypatch.setattr("firmware_app.reading.reader.RETRY_SECONDS", 0.0)
        for _ in range(20):
            assert not reader.step()
            assert not reader.retry_packs()
        assert box.case(film).readings == ()
        assert caplog.text.count("reading.no_pack") == 1
        assert len(caplog.records) <= 2
        monkeypatch.undo()
        monkeypatch.setattr("firmware_app.reading.reader.RETRY_SECONDS", 0.0)
        shutil.rmtree(packs / "toy-adult", ignore_errors=True)
        shutil.copytree(sound, packs / "toy-adult")
        if fault == "no runtime":
            monkeypatch.setattr(
                reader.inference, "_config", settings.reader.model_copy(update={"runtimes": ("onnxruntime",)})
            )
        assert reader.retry_packs()
        claim = box.clinical.claim()
        assert claim is not None
        assert claim.claims == 1  # the box's fault had cost none
        assert reader.step()
        reading = box.reading(film)
    assert reading.status is ReadingStatus.READ
