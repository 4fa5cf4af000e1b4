"""The packs we ship are whole; what they say is tested by tests/process/test_golden_images.py."""

import hashlib

import pytest

from converters.data import splits
from converters.packing import card, sbom
from converters.recipe import load_recipe
from firmware_app.packs import pack_folder
from firmware_app.packs.pack_folder import Pack, list_packs, scan_packs, shipped_packs_dir

PACKS = list_packs(shipped_packs_dir())
LARGEST_FILE_BYTES = 10_500_000


def test_every_shipped_pack_can_be_used() -> None:
    shelf = scan_packs(shipped_packs_dir())
    assert shelf.broken == ()
    assert {pack.name for pack in shelf.packs} == {
        "breast-ultrasound",
        "chest-xray-adult",
        "chest-xray-child",
        "liver-ultrasound",
    }


@pytest.fixture(params=PACKS, ids=[pack.name for pack in PACKS])
def pack(request: pytest.FixtureRequest) -> Pack:
    chosen = request.param
    assert isinstance(chosen, Pack)
    return chosen


def test_every_file_is_the_one_that_was_shipped(pack: Pack) -> None:
    pack.verify()
    made = {(artefact.runtime, artefact.precision) for artefact in pack.manifest.artefacts}
    refused = {(one.runtime, one.precision) for one in pack.manifest.refused}
    assert ("onnxruntime", "fp32") in made
    assert any(precision == "int8" for _, precision in made)
    assert ("onnxruntime", "int8") in made | (refused if pack.manifest.gates else set())
    assert not made & refused
    if pack.manifest.gates:  # made by the chain of recipes
        assert made | refused >= {(runtime, "int8") for runtime in ("onnxruntime", "openvino", "litert")}
        pack_folder.check_sums(pack.folder)


def test_every_file_is_listed_and_small_enough_for_the_repository(pack: Pack) -> None:
    listed = {artefact.path for artefact in pack.manifest.artefacts}
    listed |= {file.path for artefact in pack.manifest.artefacts for file in artefact.files}
    listed |= {case.path for case in pack.manifest.golden if case.path}
    listed |= {"manifest.json", card.NAME}
    if pack.manifest.typicality is not None:
        listed |= {pack.manifest.typicality.path, "report.html", sbom.NAME, pack_folder.SUMS_FILE}
    files = {path.relative_to(pack.folder).as_posix(): path for path in pack.folder.rglob("*") if path.is_file()}
    assert set(files) == listed
    assert max(path.stat().st_size for path in files.values()) < LARGEST_FILE_BYTES


def test_the_report_holds_no_film_of_the_data(pack: Pack) -> None:
    report = pack.folder / "report.html"
    assert not report.exists() or "data:image" not in report.read_text(encoding="utf-8")


def test_the_card_says_what_the_manifest_says(pack: Pack) -> None:
    assert (pack.folder / card.NAME).read_text(encoding="utf-8") == card.text(pack.manifest)


def test_golden_images_show_nobody(pack: Pack) -> None:
    for case in pack.manifest.golden:
        if case.path is not None:
            assert case.kind in ("phantom", "sample")
        if case.kind == "sample":
            assert case.distance is not None
            assert case.distance.nearest >= 1.0
            assert case.distance.components <= 40
            assert case.distance.films > 10 * case.distance.components


def test_numbers_are_of_films_kept_apart_and_int8_costs_little(pack: Pack) -> None:
    tests = {(row.runtime, row.precision): row for row in pack.manifest.measured if row.split == "test"}
    assert {precision for _, precision in tests} >= {"fp32", "int8"}
    part, frozen = pack.manifest.test_part, splits.frozen_test(pack.name)
    assert part is not None
    recipe = splits.RECIPES / f"{pack.name}.toml"
    if load_recipe(recipe).version == pack.manifest.version:  # it has been followed
        assert hashlib.sha256("".join(f"{name}\n" for name in sorted(frozen)).encode()).hexdigest() == part.sha256
    for (runtime, _), row in tests.items():
        assert row.n == part.films
        assert row.threshold == pack.manifest.findings[0].threshold
        exact = tests[runtime if (runtime, "fp32") in tests else "onnxruntime", "fp32"].auc
        assert row.auc is not None
        assert exact is not None
        assert exact - row.auc <= 0.005
