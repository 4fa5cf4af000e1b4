"""Refitted packs on a disk of their own, and their sums read by `sha256sum`."""

import subprocess

import pytest

from converters.packing import card
from converters.report import weak_section
from firmware_app.packs import pack_folder
from firmware_app.packs.manifest import Manifest
from firmware_app.packs.pack_folder import Pack
from tests.unit.converters.test_refit import WIDER, Place
from tests.unit.converters.test_refit import place as place


def test_the_limits_are_new_and_every_model_file_is_as_it_was(place: Place) -> None:
    was, made = Manifest.load(place.old), Pack.load(place.made)
    made.verify()
    new, old = made.manifest.typicality, was.typicality
    assert new is not None
    assert old is not None
    assert (made.manifest.version, new.varied, new.films, new.passes) == ("0.0.2", True, old.films, 0.95)
    assert new.unseen == pytest.approx(WIDER, abs=1e-3)
    assert new.limits != old.limits
    assert (made.folder / "fp32.onnx").read_bytes() == (place.old / "fp32.onnx").read_bytes()
    counted, other = made.manifest.measured
    assert counted.passed is not None
    assert counted.passed > 0.8
    assert counted.model_copy(update={"passed": 0.0, "passed_ci": (0.0, 0.1)}).auc == was.measured[0].auc
    assert other == was.measured[1]
    assert made.manifest.made_by["train"] == "a" * 64 != made.manifest.made_by["typicality"]
    said = (made.folder / card.NAME).read_text(encoding="utf-8")
    assert said == card.text(made.manifest)
    assert "each of which counts twice" in said
    report = (made.folder / weak_section.NAME).read_text(encoding="utf-8")
    assert "Version 0.0.2" in report
    assert "0.0.1" not in report
    done = subprocess.run(["sha256sum", "--check", "--quiet", pack_folder.SUMS_FILE], cwd=made.folder, check=False)
    assert done.returncode == 0
