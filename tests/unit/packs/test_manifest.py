"""A manifest is read as it was written or refused with the key that is wrong; a changed file is noticed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from firmware_app.packs.errors import (
    PACK_DIGEST_MISMATCH,
    PACK_UNKNOWN,
    PackArtefactMissing,
    PackManifestInvalid,
    PackTaskUnread,
)
from firmware_app.packs.evidence import GoldenCase
from firmware_app.packs.manifest import Manifest, file_sha256
from firmware_app.packs.manifest_types import format_licence, is_non_commercial
from firmware_app.packs.pack_folder import Pack, find_pack, list_packs, scan_packs
from tests import toy_pack
from tests.refusals import raises_refusal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return toy_pack.write(tmp_path, "toy", "adult", 18, None)


def change_manifest(folder: Path, **values: Any) -> Path:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return folder


GOLDEN = {
    "kind": "phantom",
    "path": "a.png",
    "sha256": "0" * 64,
    "tolerance": {"fp32": 0.1},
    "expected": {"fp32": {"surprise": 0.5}},
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("surprise", 1),
        ("schema", "lantern.pack/2"),
        ("version", "one"),
        ("task", ""),
        ("output", {"map": "map", "full_scale": 1.0, "colour": "red"}),
        ("golden", [GOLDEN]),
        ("findings", []),
        ("weak_points", []),
        ("training_prevalence", 1.5),
        ("input", {"name": "image", "height": 64, "width": 64, "colour": True}),
        ("input", {"name": "image", "height": 0, "width": 64}),
    ],
)
def test_what_is_unknown_missing_or_impossible_is_refused_by_its_key(folder: Path, key: str, value: Any) -> None:
    with pytest.raises(PackManifestInvalid) as refused:
        Manifest.load(change_manifest(folder, **{key: value}))
    assert key in refused.value.detail
    assert refused.value.path == str(folder / "manifest.json")


def test_a_task_that_no_module_here_has_is_named(folder: Path) -> None:
    with pytest.raises(PackTaskUnread, match="guess"):
        Manifest.load(change_manifest(folder, task="guess"))


def test_a_manifest_that_is_absent_or_not_json_is_refused(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")
    with pytest.raises(PackManifestInvalid):
        Manifest.load(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(PackManifestInvalid):
        Manifest.load(folder)


def test_an_artefact_may_not_point_outside_the_pack(folder: Path) -> None:
    artefact = json.loads((folder / "manifest.json").read_text())["artefacts"][0]
    for path in ("../fp32.onnx", "/etc/passwd", "a/../../b"):
        with pytest.raises(PackManifestInvalid):
            Manifest.load(change_manifest(folder, artefacts=[{**artefact, "path": path}]))


def test_a_changed_or_missing_model_file_is_noticed(folder: Path) -> None:
    pack = Pack.load(folder)
    pack.verify()
    file = pack.artefact("onnxruntime", "fp32")
    file.write_bytes(file.read_bytes() + b"\0")
    with raises_refusal(PACK_DIGEST_MISMATCH):
        pack.verify()
    file.unlink()
    with pytest.raises(PackArtefactMissing):
        pack.verify()
    with pytest.raises(PackArtefactMissing):
        pack.artefact("onnxruntime", "fp32")


def own_files(folder: Path) -> Path:
    """The toy pack with an OpenVINO file of two parts, and a second ONNX file for a batch of one."""
    described = json.loads((folder / "manifest.json").read_text())["artefacts"][0]
    parts = {}
    for name in ("fp32.xml", "fp32.bin", "static.onnx"):
        (folder / name).write_bytes(name.encode())
        parts[name] = {"path": name, "sha256": file_sha256(folder / name), "bytes": len(name)}
    static = {**described, **parts["static.onnx"], "batch": 1}
    own = {"runtime": "openvino", "precision": "fp32", **parts["fp32.xml"], "files": [parts["fp32.bin"]]}
    return change_manifest(folder, artefacts=[static, described, own])


def test_a_runtime_takes_its_own_file_and_a_dynamic_batch_first(folder: Path) -> None:
    pack = Pack.load(own_files(folder))
    assert pack.artefact("openvino", "fp32").name == "fp32.xml"
    assert pack.artefact("onnxruntime", "fp32").name == "fp32.onnx"


def test_a_file_that_stands_beside_a_model_file_is_watched_too(folder: Path) -> None:
    pack = Pack.load(own_files(folder))
    pack.verify()
    (folder / "fp32.bin").write_bytes(b"other")
    with raises_refusal(PACK_DIGEST_MISMATCH, match="toy"):
        pack.verify()
    (folder / "fp32.bin").unlink()
    with pytest.raises(PackArtefactMissing, match=r"fp32\.bin"):
        pack.artefact("openvino", "fp32")


def test_a_measured_tolerance_is_kept_to_the_float_answer(folder: Path) -> None:
    manifest = Manifest.load(folder)
    case = GoldenCase(
        kind="phantom",
        path="golden/a.png",
        sha256="0" * 64,
        expected={"fp32": {"bright": 0.5}, "int8": {"bright": 0.6}},
        tolerance={"fp32": 0.01, "int8": 0.05},
    )
    int8 = manifest.artefacts[0].model_copy(update={"precision": "int8"})
    assert manifest.find_expectation(case, int8) == ({"bright": 0.6}, 0.05)
    assert manifest.find_expectation(case, int8.model_copy(update={"golden_tolerance": 0.2})) == ({"bright": 0.5}, 0.2)
    assert manifest.find_expectation(case, int8.model_copy(update={"precision": "fp16"})) is None


def test_the_shelf_lists_packs_by_name_and_refuses_unknown_ones(tmp_path: Path) -> None:
    toy_pack.write_both(tmp_path)
    (tmp_path / "notes").mkdir()
    assert [pack.name for pack in list_packs(tmp_path)] == ["toy-adult", "toy-child"]
    assert find_pack(tmp_path, "toy-child").manifest.route.population == "children"
    for name in ("toy", "", "../toy-child", "notes"):
        with raises_refusal(PACK_UNKNOWN):
            find_pack(tmp_path, name)
    shutil.rmtree(tmp_path / "toy-adult")
    assert list_packs(tmp_path / "toy-adult") == []


def test_one_broken_pack_does_not_hide_the_others(tmp_path: Path) -> None:
    toy_pack.write(tmp_path, "toy", "adult", 18, None)
    (toy_pack.write(tmp_path, "broken", "adult", 18, None) / "manifest.json").write_text("{")
    shelf = scan_packs(tmp_path)
    assert [pack.name for pack in shelf.packs] == ["toy"]
    assert [error.code for error in shelf.broken] == ["pack.manifest"]


@pytest.mark.parametrize(
    ("licence", "words"),
    [
        ("Apache-2.0", "Apache-2.0"),
        ("CC-BY-NC-4.0", "CC BY-NC 4.0"),
        ("CC-BY-NC-SA-4.0", "CC BY-NC-SA 4.0"),
        ("CC-BY-4.0", "CC BY 4.0"),
        (None, "–"),
    ],
)
def test_the_licence_of_the_weights_is_an_spdx_identifier_that_people_can_read(
    folder: Path, licence: str | None, words: str
) -> None:
    more = {} if licence is None else {"weights_licence": licence}
    manifest = Manifest.load(change_manifest(folder, **more))
    assert manifest.weights_licence == licence
    assert format_licence(manifest.weights_licence) == words
    assert is_non_commercial(licence or "") == ("NC" in words)
