"""The reader with its two real children: what it says of an image, and what it says when it cannot."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from firmware_app.errors import PackUnknown
from firmware_app.reading.wire import Arrays, Message
from firmware_app.records import PackIdentity, Priority, ReadingStatus
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
    with reading_rig.reader(box) as reader:
        assert reading_rig.read_all(reader) == 1
    reading = box.reading(film)
    assert reading is not None
    assert reading.status is ReadingStatus.READ
    assert reading.pack == PackIdentity("toy-adult", "0.0.1", "onnxruntime", "fp32")
    assert [finding.code for finding in reading.findings] == ["bright"]
    assert 0 < reading.timing.decode < reading.timing.total
    shown = box.state.display / film.reference
    names = ["bright.png", "frame-000.json", "frame-000.png", "identity.json"]
    assert sorted(path.name for path in shown.iterdir()) == names
    with Image.open(shown / "bright.png") as heat:
        assert (heat.mode, heat.size) == ("L", (213, 256))
    assert json.loads((shown / "frame-000.json").read_text())["rows"] == 96


def test_a_positive_finding_makes_the_case_as_urgent_as_its_manifest_says(box: Rig) -> None:
    bright = np.full((64, 64), 4000, np.uint16)
    bright[:6] = np.arange(64) * 40
    dim = (4000 - bright).astype(np.uint16)
    shining, dark = box.admit(films.film(bright)), box.admit(films.film(dim))
    with reading_rig.reader(box) as reader:
        reading_rig.read_all(reader)
    found = [box.case(film) for film in (shining, dark)]
    assert [case.findings[0].positive for case in found] == [True, False]
    assert [case.priority for case in found] == [Priority.SOON, Priority.ROUTINE]


def test_the_same_film_gives_the_same_number_whatever_its_polarity(box: Rig) -> None:
    pixels = np.random.default_rng(2).integers(0, 4096, (90, 70), dtype=np.uint16)
    plain = box.admit(films.film(pixels))
    turned = box.admit(films.film((4095 - pixels).astype(np.uint16), PhotometricInterpretation="MONOCHROME1"))
    with reading_rig.reader(box) as reader:
        reading_rig.read_all(reader)
    one, other = (box.case(film).findings[0].probability for film in (plain, turned))
    assert one == pytest.approx(other, abs=1e-6)


def test_what_no_pack_reads_is_shown_to_people_with_the_reason(box: Rig) -> None:
    scan = box.admit(reading_rig.tiny_film(3, Modality="MR"))
    with reading_rig.reader(box) as reader:
        reading_rig.read_all(reader)
    reading = box.reading(scan)
    assert reading is not None
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
    assert refused is not None
    assert refused.reason is not None
    assert refused.reason.code == "imaging.undecodable"
    assert read is not None
    assert read.status is ReadingStatus.READ


def test_a_picture_is_read_by_the_pack_that_a_person_named_and_says_so(box: Rig, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (50, 60), dtype=np.uint8)).save(tmp_path / "photo.png")
    picture = box.admit_bytes((tmp_path / "photo.png").read_bytes(), None)
    with reading_rig.reader(box, "toy-child") as reader:
        reading_rig.read_all(reader)
    reading = box.reading(picture)
    assert reading is not None
    assert reading.pack is not None
    assert reading.pack.name == "toy-child"
    assert [hint.code for hint in reading.quality.hints] == ["hint.pack_forced"]


def test_an_unknown_pack_is_refused_before_anything_is_read(box: Rig) -> None:
    with pytest.raises(PackUnknown), reading_rig.reader(box, "nonesuch"):
        pass


def test_a_film_of_many_frames_says_which_one_was_read(box: Rig) -> None:
    pixels = np.random.default_rng(1).integers(0, 4096, (3, 40, 40), dtype=np.uint16)
    clip = box.admit(films.film(pixels[0], pixel_data=pixels.tobytes(), NumberOfFrames=3))
    with reading_rig.reader(box) as reader:
        reading_rig.read_all(reader)
    reading = box.reading(clip)
    assert reading is not None
    assert [hint.text("en") for hint in reading.quality.hints] == ["The image holds 3 frames; only frame 2 was read."]
    assert len(list((box.state.display / clip.reference).glob("frame-*.png"))) == 3


def test_a_model_file_that_cannot_be_loaded_falls_back_and_the_reading_names_what_spoke(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    packs = tmp_path / "broken"
    toy_pack.write(packs, "toy-adult", "adult", 18, None, int8=b"not a model")
    with (
        reading_rig.rig(reading_rig.config(tmp_path, packs, precision="int8")) as box,
        reading_rig.reader(box) as reader,
    ):
        film = box.admit(reading_rig.tiny_film(6))
        with caplog.at_level(logging.ERROR):
            reading_rig.read_all(reader)
        reading = box.reading(film)
    assert reading is not None
    assert reading.pack == PackIdentity("toy-adult", "0.0.1", "onnxruntime", "fp32")
    assert "falling back to onnxruntime fp32" in caplog.text


def test_a_runtime_that_begins_to_fail_is_replaced_by_the_next_and_the_image_is_not_burned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packs = tmp_path / "two"
    toy_pack.write(packs, "toy-adult", "adult", 18, None, int8=toy_pack.onnx())
    with (
        reading_rig.rig(reading_rig.config(tmp_path, packs, precision="int8")) as box,
        reading_rig.reader(box) as reader,
    ):
        reader.warm()
        assert reader.inference.identities["toy-adult"].precision == "int8"
        really, failed = (
            reader.inference._ask,
            Message({"refusal": {"code": "runtime.inference_failed"}, "sound": False}),
        )

        def ask(job: Mapping[str, Any], arrays: Arrays, seconds: float) -> Message:
            if job["job"] == "infer" and reader.inference.identities["toy-adult"].precision == "int8":
                return failed
            return really(job, arrays, seconds)

        monkeypatch.setattr(reader.inference, "_ask", ask)
        film = box.admit(reading_rig.tiny_film(11))
        assert reading_rig.read_all(reader) == 1
        reading = box.reading(film)
    assert reading is not None
    assert reading.pack == PackIdentity("toy-adult", "0.0.1", "onnxruntime", "fp32")


def test_a_picture_for_the_screen_that_cannot_be_written_costs_no_number(box: Rig) -> None:
    film = box.admit(reading_rig.tiny_film(12))
    (box.state.display / film.reference).write_text("in the way")
    with reading_rig.reader(box) as reader:
        reading_rig.read_all(reader)
    reading = box.reading(film)
    assert reading is not None
    assert reading.status is ReadingStatus.READ
    assert [hint.code for hint in reading.quality.hints] == ["hint.display_missing"]


def test_a_damaged_pack_gives_no_number(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pack = toy_pack.write(tmp_path / "damaged", "toy-adult", "adult", 18, None)
    (pack / "fp32.onnx").write_bytes((pack / "fp32.onnx").read_bytes()[:-1] + b"?")
    with reading_rig.rig(reading_rig.config(tmp_path, pack.parent)) as box, reading_rig.reader(box) as reader:
        film = box.admit(reading_rig.tiny_film(7))
        reading_rig.read_all(reader)
        reading = box.reading(film)
    assert reading is not None
    assert reading.reason is not None
    assert reading.reason.code == "reading.no_pack"
    assert "pack.digest" in caplog.text


def test_an_image_that_always_takes_too_long_to_open_is_set_aside_after_two_tries(tmp_path: Path) -> None:
    with reading_rig.rig(reading_rig.config(tmp_path, decode_seconds=1e-6)) as box, reading_rig.reader(box) as reader:
        film = box.admit(reading_rig.tiny_film(8))
        assert reading_rig.read_all(reader) == 2
        reading = box.reading(film)
    assert reading is not None
    assert reading.reason is not None
    assert reading.reason.code == "reading.decode_gave_up"
    assert reading.reason.text("en").count("twice") == 1


def test_a_model_that_always_takes_too_long_is_given_up_after_two_tries(tmp_path: Path) -> None:
    with reading_rig.rig(reading_rig.config(tmp_path, infer_seconds=1e-6)) as box, reading_rig.reader(box) as reader:
        film = box.admit(reading_rig.tiny_film(9))
        assert reading_rig.read_all(reader) == 2
        reading = box.reading(film)
    assert reading is not None
    assert reading.reason is not None
    assert reading.reason.code == "reading.inference_gave_up"


def test_an_image_that_was_begun_too_often_is_set_aside(box: Rig) -> None:
    film = box.admit(reading_rig.tiny_film(10))
    for _ in range(5):
        assert box.clinical.claim() is not None
    with reading_rig.reader(box) as reader:
        assert reading_rig.read_all(reader) == 1
    reading = box.reading(film)
    assert reading is not None
    assert reading.reason is not None
    assert (reading.reason.code, reading.reason.details) == ("reading.gave_up", {"claims": 5})
