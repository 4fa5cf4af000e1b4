"""``lantern-convert evaluate`` measures any pack on any labelled films, without PyTorch."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters import cli
from converters.data import datasets, frozen_test_log, readers, splits
from converters.data.predictions import Predictions
from converters.evaluation import evaluate
from converters.failures import DataUnreadable
from firmware_app.packs.manifest_types import LocalisedText
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.tasks.classify import Calibration, FindingSpec
from tests import toy_pack

pytestmark = pytest.mark.usefixtures("few_resamples")

KEYS = [
    "pack",
    "runtime",
    "precision",
    "split",
    "n",
    "positives",
    "auc",
    "auc_ci",
    "threshold",
    "sensitivity",
    "sensitivity_ci",
    "specificity",
    "specificity_ci",
    "dice",
    "lesion_sensitivity",
    "false_positives_per_image",
]


FINDING = FindingSpec(
    code="bright",
    label=LocalisedText(en="Bright", zh="亮"),
    channel=0,
    bias=0.0,
    calibration=Calibration(kind="platt", slope=1.0, intercept=0.0),
    threshold=0.5,
    threshold_rule="made",
    priority="soon",
)


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


def read_result(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert cli.main(["evaluate", *arguments, "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    result = json.loads(line)
    assert isinstance(result, dict)
    return result


def test_an_image_folder_gives_one_object_with_the_keys_of_the_contract(
    pack: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = read_result(capsys, str(pack), "--data", str(folder))
    assert list(result)[: len(KEYS)] == KEYS
    assert (result["n"], result["positives"], result["split"]) == (12, 6, "all")
    assert (result["auc"], result["sensitivity"], result["specificity"]) == (1.0, 1.0, 1.0)
    assert (result["threshold"], result["dice"]) == (0.6, None)


def test_a_medmnist_file_is_read_by_split(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = np.stack([grey(index % 2 == 1, index)[:28, :28] for index in range(8)])
    labels = (np.arange(8) % 2)[:, np.newaxis].astype(np.uint8)
    np.savez(tmp_path / "toy.npz", val_images=images, val_labels=labels)
    result = read_result(capsys, str(pack), "--data", str(tmp_path / "toy.npz"), "--split", "val")
    assert (result["split"], result["n"], result["positives"], result["auc"]) == ("val", 8, 4, 1.0)
    assert cli.main(["evaluate", str(pack), "--data", str(tmp_path / "toy.npz"), "--split", "test"]) == 1
    assert "there is no split test (it holds: val)" in capsys.readouterr().err


def test_three_classes_need_the_positive_one_named(folder: Path) -> None:
    (folder / "other").mkdir()
    Image.fromarray(grey(True, 1)).save(folder / "other" / "0.png")
    with pytest.raises(DataUnreadable, match="folders found: Bright, NORMAL, other"):
        datasets.image_folder(folder, "pneumonia")
    assert sum(film.label for film in datasets.image_folder(folder, "OTHER").films) == 1


def test_a_wrong_positive_class_is_never_taken_for_another(
    pack: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataUnreadable, match="no class folder named lump beside another"):
        datasets.image_folder(folder, "lump")
    assert cli.main(["evaluate", str(pack), "--data", str(folder), "--positive", "lump"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "folders found: Bright, NORMAL" in said.err


def labelled_folder(folder: Path, suffix: str = ".png") -> Path:
    """Six bright and six dark films with outlines, described by ``labels.csv``."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    lines = ["file,class,their_split,site,patient"]
    for index in range(12):
        bright, name = index % 2 == 0, f"film{index}{suffix}"
        Image.fromarray(grey(bright, index)).save(folder / "images" / f"film{index}.png")
        Image.fromarray(np.full((64, 64), 255 * bright, np.uint8)).save(folder / "masks" / f"film{index}.png")
        word = "malignant" if bright else ("benign", "normal")[index % 4 == 1]
        lines.append(
            f"{name},{word},{'val' if index < 4 else 'train'},{'north' if index < 6 else 'south'},p{index // 2}"
        )
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def dicom(path: Path, bright: bool, seed: int, patient: str) -> None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.7")
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    made.PatientID, made.Modality = patient, "OT"
    made.Rows = made.Columns = 64
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit = 7
    made.PixelData = grey(bright, seed).tobytes()
    made.save_as(path, enforce_file_format=True)


def test_a_labels_file_names_classes_parts_patients_and_sites(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = labelled_folder(tmp_path / "busi")
    result = read_result(capsys, str(pack), "--data", str(data), "--positive", "malignant")
    assert (result["n"], result["positives"], result["auc"], result["dice"]) == (12, 6, 1.0, None)
    groups = result["subgroups"]
    assert isinstance(groups, list)
    assert {(group["trait"], group["value"], group["n"]) for group in groups} == {
        ("site", "north", 6),
        ("site", "south", 6),
    }
    assert read_result(capsys, str(pack), "--data", str(data), "--positive", "malignant", "--split", "val")["n"] == 4
    assert len({film.patient for film in readers.read_labels(data, "malignant").films}) == 6


@pytest.mark.parametrize(
    ("spoilt", "why"),
    [
        ("name,class\na.png,malignant\n", "no column file"),
        ("file,class\na.png,malignant\n", "1 of its films are absent"),
        ("file,class\na.png\n", "another length"),
        ("file,class\n", "no row"),
        ("file,class\na.png,benign\n", "classes found: benign"),
    ],
)
def test_a_labels_file_that_is_wrong_is_refused_saying_how(tmp_path: Path, spoilt: str, why: str) -> None:
    (tmp_path / "labels.csv").write_text(spoilt)
    with pytest.raises(DataUnreadable, match=why):
        readers.open_set(tmp_path, "malignant")


def test_dicom_files_in_class_folders_are_read_and_their_patients_only_counted(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, bright in (("bright", True), ("dark", False)):
        (tmp_path / "dicom" / name).mkdir(parents=True)
        for index in range(4):
            suffix = ".dcm" if index else ""
            dicom(tmp_path / "dicom" / name / f"{index}{suffix}", bright, index, f"SECRET{name}{index // 2}")
    kept = tmp_path / "kept.npz"
    result = read_result(capsys, str(pack), "--data", str(tmp_path / "dicom"), "--out", str(kept))
    assert (result["n"], result["auc"]) == (8, 1.0)
    assert len(set(Predictions.load(kept).patients)) == 4
    assert not any("SECRET" in patient for patient in Predictions.load(kept).patients)
    (tmp_path / "dicom" / "dark" / "9.dcm").write_bytes(b"no DICOM")
    assert cli.main(["evaluate", str(pack), "--data", str(tmp_path / "dicom")]) == 1
    assert "9.dcm" in capsys.readouterr().err


def test_every_look_at_the_test_part_is_noted_once_for_the_same_files(
    pack: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = recipe_of("toy", tmp_path / "own")
    splits.freeze_test("toy", ["NORMAL/0.png", "Bright/3.png"], "a note", tmp_path / "own")
    asked = (str(pack), "--data", str(folder), "--split", "test", "--recipe", str(own))
    assert read_result(capsys, *asked)["n"] == read_result(capsys, *asked)["n"] == 2
    noted = (tmp_path / "own" / "toy.looks.txt").read_text().splitlines()
    assert [line.split()[1] for line in noted[1:]] == [Pack.load(pack).manifest.version]
    manifest = Pack.load(pack).manifest
    other = manifest.artefacts[0].model_copy(update={"sha256": "0" * 64})
    changed = manifest.model_copy(update={"artefacts": (other,)})
    assert frozen_test_log.record_look(changed, "2026-01-01", tmp_path / "own") == 2
    assert frozen_test_log.record_look(manifest, "2026-01-02", tmp_path / "own") == 2


def recipe_of(pack: str, folder: Path, reader: str = "folder", positive: str = "bright") -> Path:
    """Somebody's recipe of a pack, in ``folder``."""
    folder.mkdir(exist_ok=True)
    (folder / "own.toml").write_text(
        f'pack = "{pack}"\nversion = "0.0.1"\ndescribe = "words.toml"\n'
        f'data = {{ reader = "{reader}", positive = "{positive}" }}\nnet = {{ onnx = "own.onnx" }}\n'
    )
    return folder / "own.toml"


def test_the_parts_of_somebodys_recipe_are_read_as_it_says(
    pack: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "Bright").rename(folder / "Shining")
    (folder / "other").mkdir()
    Image.fromarray(grey(False, 1)).save(folder / "other" / "0.png")
    own = recipe_of("toy", tmp_path / "own", positive="shining")
    asked = (str(pack), "--data", str(folder), "--recipe", str(own))
    assert read_result(capsys, *asked)["n"] == 13
    assert cli.main(["evaluate", *asked, "--split", "test"]) == 1
    assert "there is no toy.test.txt" in capsys.readouterr().err
    splits.freeze_test("toy", ["NORMAL/0.png", "Shining/3.png", "Shining/5.png"], "a note", tmp_path / "own")
    result = read_result(capsys, *asked, "--split", "test")
    assert (result["n"], result["positives"], result["auc"], result["split"]) == (3, 2, 1.0, "test")
    turned = read_result(capsys, *asked, "--split", "test", "--positive", "NORMAL")
    assert (turned["positives"], turned["auc"]) == (1, 0.0)
    recipe_of("another", tmp_path / "own")
    assert cli.main(["evaluate", *asked, "--split", "test"]) == 1
    assert "it is the recipe of another, not of toy" in capsys.readouterr().err


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_leaves_null_what_does_not_apply(pack: Path, folder: Path, label: int) -> None:
    made, chosen = Pack.load(pack), datasets.image_folder(folder, "bright")
    films = datasets.FilmSet(chosen.name, chosen.positive, tuple(film for film in chosen.films if film.label == label))
    row = evaluate.evaluate(made, films, "all", "onnxruntime", "fp32")[0].as_dict()
    absent, present = ("specificity", "sensitivity") if label else ("sensitivity", "specificity")
    assert (row["auc"], row["auc_ci"], row[absent], row[f"{absent}_ci"]) == (None, None, None, None)
    assert row[present] == 1.0
    assert row["at_specificity"][0]["sensitivity"] is None
    json.dumps(row, allow_nan=False)
    with pytest.raises(DataUnreadable, match="no films"):
        evaluate.predict(made, datasets.FilmSet("none", "x", ()), "onnxruntime", "fp32")


def test_a_pack_that_outlines_is_measured_by_dice_and_lesions(pack: Path, tmp_path: Path) -> None:
    made = Pack.load(pack)
    outlining = Pack(made.folder, made.manifest.model_copy(update={"task": "segment"}))
    films = readers.read_labels(labelled_folder(tmp_path / "busi"), "malignant")
    row = evaluate.evaluate(outlining, films, "all", "onnxruntime", "fp32")[0].as_dict()
    assert row["dice"] > 0.8
    assert row["lesion_sensitivity"] == 1.0
    assert 0.0 <= row["false_positives_per_image"] <= 0.5
    assert row["lesions"]["lesions"] == 6
    assert row["lesions"]["froc"][-1] == [8.0, 1.0]


def test_films_of_which_the_pack_is_not_sure_get_no_number_and_are_counted(
    pack: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(grey(False, 9)).save(folder / "Bright" / "9.png")  # one that the pack misses
    every = read_result(capsys, str(pack), "--data", str(folder))
    assert (every["passed"], every["wrong"], every["n"]) == (None, 0.0769, 13)
    entry = {"error": 0.1, "low": 0.0, "high": 0.65, "films": 9, "given": 0.5, "given_ci": [0.2, 0.8]}
    manifest = json.loads((pack / "manifest.json").read_text())
    (pack / "manifest.json").write_text(json.dumps({**manifest, "abstain": entry}))
    withheld = read_result(capsys, str(pack), "--data", str(folder))
    assert (withheld["passed"], withheld["wrong"], withheld["wrong_passed"]) == (0.4615, 0.0769, 0.0)
    assert isinstance(withheld["coverage"], dict)
    assert [point["given"] for point in withheld["coverage"]["points"][:3]] == [1.0, 0.9231, 0.9231]
