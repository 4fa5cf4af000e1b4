"""``lantern-convert evaluate`` measures any pack on any labelled films, without PyTorch."""

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from converters import cli
from converters.data import datasets, frozen_test_log, readers, recipe_data, splits
from converters.data.predictions import Predictions
from converters.evaluation import box_inference, evaluate, metrics
from converters.failures import DataUnreadable
from converters.recipe import Recipe
from converters.recipe_tables import Data, Net, Train
from firmware_app.imaging import image_file, model_frames
from firmware_app.packs.evidence import Measurement
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
    assert list(result)[: len(KEYS)] == KEYS
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


def test_a_third_class_counts_as_negative_and_that_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "other").mkdir()
    Image.fromarray(grey(True, 1)).save(folder / "other" / "0.png")
    datasets.image_folder(folder, "bright")
    assert "Bright is positive; NORMAL, other all count as negative" in capsys.readouterr().err


def test_a_wrong_positive_class_is_never_taken_for_another(
    pack: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataUnreadable, match="no class folder named lump beside another"):
        datasets.image_folder(folder, "lump")
    assert cli.main(["evaluate", str(pack), "--data", str(folder), "--positive", "lump"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "folders found: Bright, NORMAL" in said.err


def test_who_names_no_class_is_told_which_one_was_taken(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sum(film.label for film in readers.opened(folder, "lump").films) == 6
    assert "no class is called lump; Bright is taken for it" in capsys.readouterr().err


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
    result = evaluated(capsys, str(pack), "--data", str(data), "--positive", "malignant")
    assert (result["n"], result["positives"], result["auc"], result["dice"]) == (12, 6, 1.0, None)
    groups = result["subgroups"]
    assert isinstance(groups, list)
    assert {(one["trait"], one["value"], one["n"]) for one in groups} == {("site", "north", 6), ("site", "south", 6)}
    assert evaluated(capsys, str(pack), "--data", str(data), "--positive", "malignant", "--split", "val")["n"] == 4
    assert len({film.patient for film in readers.labelled(data, "malignant").films}) == 6


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
        readers.opened(tmp_path, "malignant")


def test_dicom_files_in_class_folders_are_read_and_their_patients_only_counted(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, bright in (("bright", True), ("dark", False)):
        (tmp_path / "dicom" / name).mkdir(parents=True)
        for index in range(4):
            suffix = ".dcm" if index else ""
            dicom(tmp_path / "dicom" / name / f"{index}{suffix}", bright, index, f"SECRET{name}{index // 2}")
    kept = tmp_path / "kept.npz"
    result = evaluated(capsys, str(pack), "--data", str(tmp_path / "dicom"), "--out", str(kept))
    assert (result["n"], result["auc"]) == (8, 1.0)
    assert len(set(Predictions.load(kept).patients)) == 4
    assert not any("SECRET" in patient for patient in Predictions.load(kept).patients)
    (tmp_path / "dicom" / "dark" / "9.dcm").write_bytes(b"no DICOM")
    assert cli.main(["evaluate", str(pack), "--data", str(tmp_path / "dicom")]) == 1
    assert "9.dcm" in capsys.readouterr().err


def test_a_dicom_film_that_no_model_may_see_is_counted_and_not_scored(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, bright in (("bright", True), ("dark", False)):
        (tmp_path / "dicom" / name).mkdir(parents=True)
        for index in range(3):
            dicom(tmp_path / "dicom" / name / f"{index}.dcm", bright, index, f"{name}{index}")
    blank = pydicom.dcmread(tmp_path / "dicom" / "dark" / "2.dcm")
    blank.PixelData = bytes(64 * 64)
    blank.save_as(tmp_path / "dicom" / "dark" / "2.dcm")
    result = evaluated(capsys, str(pack), "--data", str(tmp_path / "dicom"))
    assert (result["n"], result["unfit"], result["auc"]) == (5, 1, 1.0)
    assert cli.main(["evaluate", str(pack), "--data", str(tmp_path / "dicom")]) == 0
    assert "not fit for a model, and not counted: 1 films" in capsys.readouterr().out


def test_hidden_padding_of_a_dicom_film_does_not_set_the_scale(pack: Path, tmp_path: Path) -> None:
    plain, padded = tmp_path / "plain.dcm", tmp_path / "padded.dcm"
    dicom(plain, True, 1, "p")
    made = pydicom.dcmread(plain)
    y, x = np.mgrid[0:64, 0:64]
    pixels = (160 + 80 * np.sin(x / 9) * np.sin(y / 7)).astype(np.uint8)
    pixels[:8] = 0
    made.PixelData = pixels.tobytes()
    made.save_as(plain)
    made.add_new("PixelPaddingValue", "US", 0)
    made.save_as(padded)
    manifest = Pack.load(pack).manifest
    one, other = (box_inference.tensors(datasets.Film("f", path, 1, "p"), manifest) for path in (plain, padded))
    assert not np.array_equal(one, other)
    with image_file.open_image_file(padded, is_picture=False) as opened:
        taken = model_frames.prepare_frames(opened, manifest.input, modality="OT").tensors
    assert np.array_equal(other, taken)
    assert np.array_equal(datasets.Film("f", padded, 1, "p").tensor(manifest.input), taken)


def test_films_that_the_box_gives_no_number_for_are_counted_apart() -> None:
    labels = np.array([1] * 20 + [0] * 20, np.int64)
    logits = np.where(labels == 1, 2.0, -2.0)
    logits[:4] = -3.0  # four missed, all of them unlike what was learnt from
    names = tuple(f"f{index}" for index in range(40))
    familiar = np.ones(40, bool)
    familiar[:4] = familiar[-1] = False
    said = metrics.evaluation(
        Predictions(names, labels, names, logits), FINDING, "toy", "onnxruntime", "fp32", "test", given=familiar
    )
    assert (said.sensitivity, said.sensitivity_passed, said.passed) == (0.8, 1.0, 35 / 40)
    row = said.row()
    assert row["passed"] == 0.875
    assert row["sensitivity_passed_ci"][0] < 1.0
    predictions = Predictions(names, labels, names, logits)
    assert metrics.evaluation(predictions, FINDING, "toy", "onnxruntime", "fp32", "test").passed is None


def test_dicom_files_beside_a_labels_file_are_read(pack: Path, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for index in range(4):
        dicom(tmp_path / "d" / f"{index}.dcm", index % 2 == 0, index, f"p{index}")
    rows = "".join(f"{index}.dcm,{'bright' if index % 2 == 0 else 'dark'}\n" for index in range(4))
    (tmp_path / "d" / "labels.csv").write_text("file,label\n" + rows)
    films, split = evaluate.chosen_films(Pack.load(pack), tmp_path / "d", None, None)
    result, _ = evaluate.evaluate(Pack.load(pack), films, split, "onnxruntime", "fp32")
    assert (result.n, result.auc) == (4, 1.0)


def test_a_part_of_an_image_folder_is_a_folder(pack: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.rename(folder.parent / "test")
    (folder / "x").mkdir(parents=True)
    (folder.parent / "test").rename(folder / "test")
    assert evaluated(capsys, str(pack), "--data", str(folder), "--split", "test")["n"] == 12
    assert cli.main(["evaluate", str(pack), "--data", str(folder / "test"), "--split", "val"]) == 1
    assert "it has no split val" in capsys.readouterr().err


def test_the_test_part_is_the_committed_list_where_the_data_holds_it(
    pack: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(splits, "LISTS", tmp_path / "lists")
    splits.freeze_test("toy", ["NORMAL/0.png", "Bright/3.png", "Bright/5.png"], "a note", tmp_path / "lists")
    result = evaluated(capsys, str(pack), "--data", str(folder), "--split", "test")
    assert (result["n"], result["positives"], result["split"]) == (3, 2, "test")


def test_every_look_at_the_test_part_is_noted_once_for_the_same_files(
    pack: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = recipe_of("toy", tmp_path / "own")
    splits.freeze_test("toy", ["NORMAL/0.png", "Bright/3.png"], "a note", tmp_path / "own")
    asked = (str(pack), "--data", str(folder), "--split", "test", "--recipe", str(own))
    assert evaluated(capsys, *asked)["n"] == evaluated(capsys, *asked)["n"] == 2
    noted = (tmp_path / "own" / "toy.looks.txt").read_text().splitlines()
    assert [line.split()[1] for line in noted[1:]] == [Pack.load(pack).manifest.version]
    manifest = Pack.load(pack).manifest
    other = manifest.artefacts[0].model_copy(update={"sha256": "0" * 64})
    changed = manifest.model_copy(update={"artefacts": (other,)})
    assert frozen_test_log.note(changed, "2026-01-01", tmp_path / "own") == 2
    assert frozen_test_log.note(manifest, "2026-01-02", tmp_path / "own") == 2


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
    assert evaluated(capsys, *asked)["n"] == 13
    assert cli.main(["evaluate", *asked, "--split", "test"]) == 1
    assert "there is no toy.test.txt" in capsys.readouterr().err
    splits.freeze_test("toy", ["NORMAL/0.png", "Shining/3.png", "Shining/5.png"], "a note", tmp_path / "own")
    result = evaluated(capsys, *asked, "--split", "test")
    assert (result["n"], result["positives"], result["auc"], result["split"]) == (3, 2, 1.0, "test")
    turned = evaluated(capsys, *asked, "--split", "test", "--positive", "NORMAL")
    assert (turned["positives"], turned["auc"]) == (1, 0.0)
    recipe_of("another", tmp_path / "own")
    assert cli.main(["evaluate", *asked, "--split", "test"]) == 1
    assert "it is the recipe of another, not of toy" in capsys.readouterr().err


def test_the_test_part_of_a_medmnist_recipe_is_its_own_and_not_that_of_the_file(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.stack([grey(index % 2 == 1, index)[:28, :28] for index in range(8)])
    labels = (np.arange(8) % 2)[:, np.newaxis].astype(np.uint8)
    np.savez(
        tmp_path / "toy.npz",
        train_images=images,
        train_labels=labels,
        test_images=images[:2],
        test_labels=1 - labels[:2],
    )
    own = recipe_of("toy", tmp_path / "own", "medmnist", "1")
    splits.freeze_test("toy", ["train/0", "train/3", "train/5"], "a note", tmp_path / "own")
    asked = (str(pack), "--data", str(tmp_path / "toy.npz"), "--split", "test")
    assert evaluated(capsys, *asked, "--recipe", str(own))["n"] == 3
    assert evaluated(capsys, *asked)["n"] == 2


def test_medmnist_labels_are_known_by_their_names(tmp_path: Path) -> None:
    labels = np.array([[0], [1], [1]], np.uint8)
    np.savez(tmp_path / "breastmnist_224.npz", test_images=np.zeros((3, 8, 8), np.uint8), test_labels=labels)
    path = tmp_path / "breastmnist_224.npz"
    for asked, wanted in (
        ({"finding": "malignant"}, [1, 0, 0]),
        ({"positive": "benign"}, [0, 1, 1]),
        ({"positive": "0"}, [1, 0, 0]),
        ({"finding": "other"}, [0, 1, 1]),
    ):
        assert [film.label for film in datasets.medmnist(path, "test", **asked).films] == wanted
    with pytest.raises(DataUnreadable, match="its labels are numbers"):
        datasets.medmnist(path, "test", positive="cat")


def test_an_archive_of_a_ct_series_is_to_be_unpacked_first(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ct").mkdir()
    (tmp_path / "ct" / "lidc.tar.zst").write_bytes(b"")
    assert cli.main(["evaluate", str(pack), "--data", str(tmp_path / "ct")]) == 1
    assert "unpack them first" in capsys.readouterr().err


@pytest.mark.parametrize(("positive", "wanted"), [("malignant", [1, 0, 0]), ("benign", [0, 1, 1]), ("1", [0, 1, 1])])
def test_a_recipe_says_which_medmnist_label_is_the_finding(tmp_path: Path, positive: str, wanted: list[int]) -> None:
    labels = np.array([[0], [1], [1]], np.uint8)
    np.savez(tmp_path / "breastmnist.npz", train_images=np.zeros((3, 8, 8), np.uint8), train_labels=labels)
    recipe = Recipe(
        pack="toy",
        version="0.0.1",
        describe="words.toml",
        data=Data(reader="medmnist", positive=positive),
        net=Net(student="plain-small"),
        train=Train(start="random"),
    )
    films = recipe_data.open_reader(recipe, tmp_path / "breastmnist.npz").films
    assert [film.label for film in films] == wanted


def test_every_film_of_a_tree_is_found_without_labels_and_masks_are_not_films(tmp_path: Path) -> None:
    labelled_folder(tmp_path / "busi")
    assert len(datasets.any_films(tmp_path / "busi").films) == 12
    with pytest.raises(DataUnreadable, match="neither"):
        datasets.any_films(tmp_path / "absent")


def test_kept_predictions_are_compared_film_by_film(
    pack: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept.npz"
    evaluated(capsys, str(pack), "--data", str(folder), "--out", str(kept))
    for original in (str(kept), "fp32"):
        against = evaluated(capsys, str(pack), "--data", str(folder), "--against", original)["against"]
        assert isinstance(against, dict)
        assert against["auc_difference"] == [0.0, 0.0, 0.0]
        assert (against["original"], against["lost"], against["won"]) == (original, 0, 0)
        assert [one["outcome"] for one in against["gates"]] == ["passed", "inconclusive"]
    data = labelled_folder(tmp_path / "busi")
    assert (
        cli.main(["evaluate", str(pack), "--data", str(data), "--positive", "malignant", "--against", str(kept)]) == 1
    )
    assert "have not judged the same films" in capsys.readouterr().err


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
    films = readers.labelled(labelled_folder(tmp_path / "busi"), "malignant")
    row = evaluate.evaluate(outlining, films, "all", "onnxruntime", "fp32")[0].as_dict()
    assert row["dice"] > 0.8
    assert row["lesion_sensitivity"] == 1.0
    assert 0.0 <= row["false_positives_per_image"] <= 0.5
    assert row["lesions"]["lesions"] == 6
    assert row["lesions"]["froc"][-1] == [8.0, 1.0]


def test_the_weakest_group_comes_first_and_a_small_one_is_not_weak_for_being_small() -> None:
    labels = np.tile([1, 1, 0, 0], 101)[:404]
    logits = np.where(labels == 1, 2.0, -2.0)
    sites = np.array(["large"] * 200 + ["wrong"] * 200 + ["small"] * 4)
    logits[(sites == "wrong") & (labels == 0)] = 2.0
    names = tuple(str(index) for index in range(404))
    predictions = Predictions(names, labels, names, logits, tuple({"site": str(one)} for one in sites))
    groups = metrics.subgroups(predictions, 1.0 / (1.0 + np.exp(-logits)), 0.5)
    assert [one.value for one in groups] == ["wrong", "large", "small"]
    assert (groups[0].specificity, groups[2].auc) == (0.0, None)


def test_a_manifest_row_holds_the_numbers_of_the_evaluation(pack: Path, folder: Path) -> None:
    result, predictions = evaluate.evaluate(
        Pack.load(pack), datasets.image_folder(folder, "bright"), "all", "onnxruntime", "fp32"
    )
    row = result.row()
    known = {name: value for name, value in row.items() if name in Measurement.model_fields}
    assert Measurement.model_validate({**known, "command": "x"}).auc == 1.0
    assert {"ece", "brier", "sensitivity_at_90", "sensitivity_at_95_ci"} <= set(row)
    spec = Pack.load(pack).manifest.section.findings[0]
    called = predictions.logits >= metrics.threshold_logit(spec)
    assert np.array_equal(called, metrics.probabilities(predictions, spec) >= spec.threshold)


def test_films_of_which_the_pack_is_not_sure_get_no_number_and_are_counted(
    pack: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(grey(False, 9)).save(folder / "Bright" / "9.png")  # one that the pack misses
    every = evaluated(capsys, str(pack), "--data", str(folder))
    assert (every["passed"], every["wrong"], every["n"]) == (None, 0.0769, 13)
    entry = {"error": 0.1, "low": 0.0, "high": 0.65, "films": 9, "given": 0.5, "given_ci": [0.2, 0.8]}
    manifest = json.loads((pack / "manifest.json").read_text())
    (pack / "manifest.json").write_text(json.dumps({**manifest, "abstain": entry}))
    withheld = evaluated(capsys, str(pack), "--data", str(folder))
    assert (withheld["passed"], withheld["wrong"], withheld["wrong_passed"]) == (0.4615, 0.0769, 0.0)
    assert isinstance(withheld["coverage"], dict)
    assert [point["given"] for point in withheld["coverage"]["points"][:3]] == [1.0, 0.9231, 0.9231]
