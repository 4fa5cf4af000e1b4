"""A clinic's feedback: only its engineer opens it, nothing in it names anybody, and it never reaches the test part."""

import io
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from PIL import Image

from converters import cli
from converters.data import feedback, recipe_data, splits
from converters.data.feedback import FeedbackRecord
from converters.failures import (
    FeedbackCutOff,
    FeedbackForAnother,
    FeedbackForeign,
    FeedbackKeyUnusable,
    FeedbackMalformed,
    OutputUnwritable,
    SplitLeaks,
)
from converters.recipe import Recipe
from converters.recipe_tables import Data, Net, Train

PACK = "toy-disc"
KEY = X25519PrivateKey.generate()
SIDE = 32


def png(seed: int, bits: int = 8) -> bytes:
    greys = np.random.default_rng(seed).integers(0, 2**bits, (SIDE, SIDE))
    out = io.BytesIO()
    Image.fromarray(greys.astype(np.uint16 if bits == 16 else np.uint8)).save(out, "PNG")
    return out.getvalue()


def make_record(seed: int, label: int = 1, bits: int = 8, patient: str = "") -> FeedbackRecord:
    return FeedbackRecord(f"{seed:016x}.png", str(label), patient or f"{seed:032x}", PACK, "0.1.0", png(seed, bits))


def write_export(folder: Path, films: list[FeedbackRecord]) -> Path:
    path = folder / "clinic.lnf"
    path.write_bytes(feedback.seal(films, KEY.public_key()))
    return path


def sealed_zip(folder: Path, plain: bytes) -> Path:
    """Whatever bytes somebody with the public key may seal."""
    head = feedback.FORM + feedback.compute_key_id(KEY.public_key()) + len(plain).to_bytes(8)
    path = folder / "hostile.lnf"
    sealed = feedback.SUITE.encrypt(plain, KEY.public_key(), b"lantern/1\x00feedback\x00" + head)
    path.write_bytes(head + sealed)
    return path


def make_zip(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def table(*rows: str) -> bytes:
    return "\n".join([",".join(feedback.COLUMNS), *rows, ""]).encode()


ROW = f"{1:016x}.png,1,{1:032x},{PACK},0.1.0"
GOOD = {"labels.csv": table(ROW), f"images/{1:016x}.png": png(1)}


def test_what_is_sealed_comes_out_as_it_went_in(tmp_path: Path) -> None:
    films = [make_record(1), make_record(2, 0), make_record(3, 1, bits=16)]
    path = write_export(tmp_path, films)
    assert feedback.unseal(path, KEY) == tuple(films)
    read = feedback.films_of(path, KEY, PACK).films
    assert [film.label for film in read] == [1, 0, 1]
    wanted = np.random.default_rng(3).integers(0, 2**16, (SIDE, SIDE))
    assert np.array_equal(read[2].read(), wanted.astype(np.float32))
    assert len({film.name for film in read}) == 3


def test_another_key_does_not_open_it_and_says_which_would(tmp_path: Path) -> None:
    path = write_export(tmp_path, [make_record(1)])
    with pytest.raises(FeedbackForAnother, match=feedback.compute_key_id(KEY.public_key()).hex()):
        feedback.unseal(path, X25519PrivateKey.generate())


def test_it_is_refused_wherever_it_was_cut(tmp_path: Path) -> None:
    path = write_export(tmp_path, [make_record(1)])
    whole = path.read_bytes()
    for length in (0, 3, feedback.HEAD - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(FeedbackForeign):
            feedback.unseal(path, KEY)
    for length in (feedback.HEAD, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(FeedbackCutOff, match=f"{length} of {len(whole)} bytes"):
            feedback.unseal(path, KEY)


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    for content in (make_zip(GOOD), b"%PDF-1.7", b"LNF1" + b"\xff" * 16 + b"x" * 99):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(FeedbackForeign):
            feedback.unseal(tmp_path / "other", KEY)


def twice() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in GOOD.items():
            archive.writestr(name, content)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("labels.csv", table(ROW))
    return out.getvalue()


def overlapping() -> bytes:
    """A directory whose every entry is the same film (Fifield 2019): a small zip that swells."""
    plain = make_zip(GOOD)
    start = int.from_bytes(plain[-6:-2], "little")
    entries = plain[start:-22]
    first = entries[: 46 + len("labels.csv")]
    image = entries[len(first) :]
    name = f"images/{1:016x}.png".encode()
    more = b"".join(image.replace(name, f"images/{number:016x}.png".encode()) for number in range(1, 200))
    directory = first + more
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 200, 200, len(directory), start, 0)
    return plain[:start] + directory + end


@pytest.mark.parametrize(
    ("plain", "why"),
    [
        (lambda: b"", "holds no zip"),
        (lambda: b"no zip at all" * 9, "holds no zip"),
        (lambda: make_zip({**GOOD, "../../etc/passwd": b"x"}), "member 3 has a strange name"),
        (lambda: make_zip({**GOOD, "/labels.csv": b"x"}), "member 3 has a strange name"),
        (lambda: make_zip({**GOOD, "images/Wang Fang.png": png(2)}), "member 3 has a strange name"),
        (lambda: make_zip(GOOD, zipfile.ZIP_DEFLATED), "compressed"),
        (lambda: make_zip({"labels.csv": table(ROW)}), "do not name the same films"),
        (lambda: make_zip({**GOOD, f"images/{2:016x}.png": png(2)}), "do not name the same films"),
        (lambda: make_zip({**GOOD, "labels.csv": table(ROW, ROW)}), "do not name the same films"),
        (lambda: make_zip({**GOOD, "labels.csv": b"file,name\n"}), "other columns"),
        (lambda: make_zip({**GOOD, "labels.csv": table()}), "has no film"),
        (lambda: make_zip({**GOOD, "labels.csv": table(ROW.replace(",1,", ",yes,"))}), "film 1: label is not allowed"),
        (lambda: make_zip({**GOOD, "labels.csv": table(ROW.replace(f"{1:032x}", "Wang Fang"))}), "film 1: patient"),
        (lambda: make_zip({**GOOD, "labels.csv": table(ROW + ",more")}), "film 1: a column"),
        (lambda: make_zip({**GOOD, "labels.csv": "王芳".encode()}), "no plain table"),
        (lambda: make_zip({**GOOD, "labels.csv": b"x" * (feedback.MOST_TABLE + 1)}), "larger than"),
        (
            lambda: make_zip(GOOD)[:40] + b"\xff" * 40 + make_zip(GOOD)[80:],
            "the zip is broken|no grey PNG|other columns",
        ),
        (twice, "twice"),
        (overlapping, "twice"),
    ],
)
def test_what_the_form_has_no_place_for_is_refused_though_its_seal_is_good(
    tmp_path: Path, plain: Callable[[], bytes], why: str
) -> None:
    with pytest.raises(FeedbackMalformed, match=why):
        feedback.unseal(sealed_zip(tmp_path, plain()), KEY)


def test_feedback_on_another_pack_is_refused(tmp_path: Path) -> None:
    path = write_export(tmp_path, [replace(make_record(1), pack="other-pack")])
    with pytest.raises(FeedbackMalformed, match="speaks of the pack other-pack; this recipe makes toy-disc"):
        feedback.films_of(path, KEY, PACK)


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["feedback-keys", "--out", str(tmp_path / "keys")]) == 0
    own, public = tmp_path / "keys" / feedback.PRIVATE, tmp_path / "keys" / feedback.PUBLIC
    assert own.stat().st_mode & 0o777 == 0o600
    number = feedback.compute_key_id(feedback.public_key(public)).hex()
    assert number in capsys.readouterr().err
    assert feedback.compute_key_id(feedback.private_key(own).public_key()).hex() == number
    before = own.read_bytes()
    with pytest.raises(OutputUnwritable):
        feedback.make_keys(tmp_path / "keys")
    assert own.read_bytes() == before
    for read in (feedback.private_key, feedback.public_key):
        with pytest.raises(FeedbackKeyUnusable):
            read(tmp_path / "absent")
    with pytest.raises(FeedbackKeyUnusable):
        feedback.private_key(public)


# --- in training ------------------------------------------------------------------------------------------------------


RECIPE = Recipe(
    pack=PACK,
    version="0.0.1",
    describe="words.toml",
    data=Data(reader="folder", positive="disc", folds=2, test=0.25),
    net=Net(student="plain-small"),
    train=Train(start="random"),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve films of each class; test lists go to this test's own folder."""
    monkeypatch.setattr(splits, "LISTS", tmp_path / "lists")
    for offset, name in ((100, "clear"), (200, "disc")):
        (tmp_path / "films" / name).mkdir(parents=True)
        for index in range(12):
            (tmp_path / "films" / name / f"{name}{index:02}.png").write_bytes(png(offset + index))
    return tmp_path / "films"


def test_feedback_is_learnt_from_and_judges_nothing(folder: Path, tmp_path: Path) -> None:
    plain = recipe_data.open_recipe_data(RECIPE, folder)
    fed = feedback.films_of(write_export(tmp_path, [make_record(1), make_record(2, 0)]), KEY, PACK)
    joined = recipe_data.open_recipe_data(RECIPE, folder, [fed])
    names = {film.name for film in fed.films}
    assert joined.division.test == plain.division.test
    assert [fold.held for fold in joined.division.folds] == [fold.held for fold in plain.division.folds]
    for fold, before in zip(joined.division.folds, plain.division.folds, strict=True):
        assert set(fold.train) == set(before.train) | names
    assert set(joined.division.shipped.train) == set(plain.division.shipped.train) | names
    assert set(joined.feedback) == names
    assert repr(plain.division) == repr(replace(joined.division, folds=plain.division.folds))


def test_a_copy_of_a_test_film_in_feedback_is_a_leak_that_names_both(folder: Path, tmp_path: Path) -> None:
    name = recipe_data.open_recipe_data(RECIPE, folder).division.test[0]
    copy = replace(make_record(1), png=(folder / name).read_bytes())
    fed = feedback.films_of(write_export(tmp_path, [copy]), KEY, PACK)
    with pytest.raises(SplitLeaks, match=name) as refused:
        recipe_data.open_recipe_data(RECIPE, folder, [fed])
    assert refused.value.pairs == ((name, fed.films[0].name),)
