"""A clinic's feedback joins training through the same door as every film, and later steps learn from the same."""

from pathlib import Path

import pytest
from PIL import Image

from converters import cli
from converters.data import feedback
from converters.data.feedback import FeedbackRecord
from tests.converters.conftest import ONE_FOLD, draw, write_recipe


def export(folder: Path, films: Path, own: Path) -> Path:
    """The films of an image folder as a clinic would seal them."""
    rows = []
    for number, path in enumerate(sorted(films.rglob("*.png"))):
        with Image.open(path) as image:
            image.save(folder / "plain.png")
        label = "1" if path.parent.name == "disc" else "0"
        rows.append(
            FeedbackRecord(
                f"{number:016x}.png", label, f"{number:032x}", "toy-disc", "0.0.1", (folder / "plain.png").read_bytes()
            )
        )
    (folder / "clinic.lnf").write_bytes(feedback.seal(rows, feedback.public_key(own / feedback.PUBLIC)))
    return folder / "clinic.lnf"


def test_feedback_is_learnt_from_until_training_is_asked_for_without_it(
    films: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from converters.training import checkpoint

    feedback.make_keys(tmp_path / "keys")
    sealed = export(tmp_path, draw(tmp_path / "more", 3, seed=99), tmp_path / "keys")
    recipe = write_recipe(tmp_path, **ONE_FOLD)
    command = [str(recipe), "--data", str(films), "--out", str(tmp_path / "out")]
    work = tmp_path / "out" / "work" / "toy-disc"
    assert cli.main(["train", *command]) == 0
    without = checkpoint.load(work / "student.fold0.pt").facts["identity"]
    option = ["--add-feedback", str(sealed), "--feedback-key", str(tmp_path / "keys" / feedback.PRIVATE)]
    assert cli.main(["train", *command, *option]) == 0
    assert checkpoint.load(work / "student.fold0.pt").facts["identity"] != without
    assert "6 films of feedback" in capfd.readouterr().err
    assert cli.main(["calibrate", *command]) == 0
    assert "6 films of feedback" in capfd.readouterr().err
    assert not list((tmp_path / "out").rglob("*.png"))
    assert cli.main(["train", *command]) == 0
    assert checkpoint.load(work / "student.fold0.pt").facts["identity"] == without
    assert "films of feedback" not in capfd.readouterr().err
