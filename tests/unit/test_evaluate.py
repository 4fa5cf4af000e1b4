"""``lantern-convert evaluate`` measures any pack on any labelled films, without PyTorch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters import cli, datasets
from converters.failures import DataUnreadable
from tests import toy_pack

KEYS = [
    "pack", "runtime", "precision", "split", "n", "positives", "auc", "auc_ci", "threshold", "sensitivity",
    "sensitivity_ci", "specificity", "specificity_ci", "dice", "lesion_sensitivity", "false_positives_per_image",
]  # fmt: skip


def grey(bright: bool, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A film that the toy pack ("the film is bright") reads rightly: mostly bright, or mostly dark."""
    rng = np.random.default_rng(seed)
    film = rng.integers(200, 256, (64, 64)) if bright else rng.integers(0, 56, (64, 64))
    film[:8] = 0 if bright else 255
    return film.astype(np.uint8)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return toy_pack.write(tmp_path / "packs", "toy", "adult", 18, None, threshold=0.6)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, bright in (("NORMAL", False), ("Bright", True)):
        (tmp_path / "films" / name).mkdir(parents=True)
        for index in range(6):
            Image.fromarray(grey(bright, index)).save(tmp_path / "films" / name / f"{index}.png")
    return tmp_path / "films"


def evaluated(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert cli.main(["evaluate", *arguments, "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    result = json.loads(line)
    assert isinstance(result, dict)
    return result


def test_an_image_folder_gives_one_object_with_the_keys_of_the_contract(
    pack: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = evaluated(capsys, str(pack), "--data", str(folder))
    assert list(result) == KEYS
    assert (result["n"], result["positives"], result["split"]) == (12, 6, "all")
    assert (result["auc"], result["sensitivity"], result["specificity"]) == (1.0, 1.0, 1.0)
    assert (result["threshold"], result["dice"]) == (0.6, None)


def test_the_positive_class_can_be_named_and_turned_round(
    pack: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluated(capsys, str(pack), "--data", str(folder), "--positive", "bright")["auc"] == 1.0
    assert evaluated(capsys, str(pack), "--data", str(folder), "--positive", "NORMAL")["auc"] == 0.0


def test_a_medmnist_file_is_read_by_split(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = np.stack([grey(index % 2 == 1, index)[:28, :28] for index in range(8)])
    labels = (np.arange(8) % 2)[:, np.newaxis].astype(np.uint8)
    np.savez(tmp_path / "toy.npz", val_images=images, val_labels=labels)
    result = evaluated(capsys, str(pack), "--data", str(tmp_path / "toy.npz"), "--split", "val")
    assert (result["split"], result["n"], result["positives"], result["auc"]) == ("val", 8, 4, 1.0)
    assert cli.main(["evaluate", str(pack), "--data", str(tmp_path / "toy.npz"), "--split", "test"]) == 1
    assert "there is no split test (it holds: val)" in capsys.readouterr().err


def test_without_json_a_person_reads_a_table(pack: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", str(pack), "--data", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "12 films, 6 positive" in shown
    assert "95 % interval" in shown


@pytest.mark.parametrize("name", ["absent", "films/NORMAL"])
def test_data_in_no_known_form_is_refused_with_one_sentence(
    pack: Path, folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["evaluate", str(pack), "--data", str(folder.parent / name)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert name in said.err


def test_a_pack_that_is_not_one_is_refused_with_one_sentence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", str(folder), "--data", str(folder)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_three_classes_need_the_positive_one_named(folder: Path) -> None:
    (folder / "other").mkdir()
    Image.fromarray(grey(True, 1)).save(folder / "other" / "0.png")
    with pytest.raises(DataUnreadable, match="folders found: Bright, NORMAL, other"):
        datasets.image_folder(folder, "pneumonia")
    assert sum(film.label for film in datasets.image_folder(folder, "OTHER").films) == 1


def test_evaluating_needs_no_pytorch(pack: Path, folder: Path) -> None:
    code = (
        "import sys\nsys.modules['torch'] = None\nfrom converters import cli\n"
        f"raise SystemExit(cli.main(['evaluate', {str(pack)!r}, '--data', {str(folder)!r}, '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n"] == 12
