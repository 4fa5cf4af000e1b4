"""The built wheel holds everything the box needs: it reads a film outside the checkout."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from converters.packing.sbom import normal
from converters.publishing import distribution_sbom
from demo import samples
from firmware_app.appliance.installation.programs import PACKAGES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the project's own backend and unpacked as pip would."""
    built = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(built), str(ROOT)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (wheel,) = built.glob("lantern_box-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(built / "site")
    return built / "site"


def run_outside(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "LANTERN_LOG": "WARNING"}
    return subprocess.run(
        [sys.executable, "-P", *arguments], cwd=folder, env=environment, text=True, capture_output=True, check=False
    )


def test_the_wheel_reads_a_film_outside_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    drawn = samples.load_golden_images()[0]
    film = tmp_path / "film.dcm"
    drawn.dataset.save_as(film, enforce_file_format=True)
    done = run_outside(unpacked, tmp_path, "-m", "firmware_app", "read", str(film), "--json")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["readings"][0]["pack"]["name"] == "chest-xray-child"


def test_what_was_imported_is_the_wheel_and_not_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    done = run_outside(unpacked, tmp_path, "-c", "import firmware_app; print(firmware_app.__file__)")
    assert Path(done.stdout.strip()).is_relative_to(unpacked)


def test_the_wheel_carries_no_tests_no_builders_and_no_images_of_patients(unpacked: Path) -> None:
    top = {path.name for path in unpacked.iterdir()}
    assert {"firmware_app", "web", "converters", "hospital"} <= top
    assert top.isdisjoint({"tests", "systemd"})
    pictures = [path for path in unpacked.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".dcm", ".png"}]
    assert all("golden" in path.parts for path in pictures)


def test_two_builds_give_the_same_bytes_and_the_bill_names_what_constraints_say(tmp_path: Path) -> None:
    """In another folder, under another umask, from files of another time."""
    first, second = tmp_path / "one", tmp_path / "two"
    first.mkdir()
    for part in (*PACKAGES, "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copyfile
        copy(ROOT / part, first / part)
    shutil.copytree(first, second, copy_function=shutil.copyfile)
    for tree, umask in ((first, 0o022), (second, 0o077)):
        subprocess.run(
            [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tree / "dist"), str(tree)],
            check=True,
            stdout=subprocess.DEVNULL,
            umask=umask,
            env={**os.environ, "SOURCE_DATE_EPOCH": "1790000000"},
        )
    one, two = (next((tree / "dist").glob("*.whl")) for tree in (first, second))
    digest = hashlib.sha256(one.read_bytes()).hexdigest()
    assert hashlib.sha256(two.read_bytes()).hexdigest() == digest

    bill = json.loads(distribution_sbom.write(one.parent, frozenset({"intel", "tflite"})).read_text("utf-8"))
    assert bill["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": digest}]
    components = {component["name"]: component for component in bill["components"]}
    assert all(component["licenses"] for component in components.values())
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if "==" in line)
    fixed = {normal(name): version for name, version in pins.items()}
    assert {name: component["version"] for name, component in components.items()} == {
        name: fixed[name] for name in components
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["intel"]]
    assert {normal(Requirement(line).name) for line in asked} <= components.keys()
    arrows = {arrow["ref"] for arrow in bill["dependencies"]}
    assert arrows == {component["bom-ref"] for component in [*bill["components"], bill["metadata"]["component"]]}
