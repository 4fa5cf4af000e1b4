"""The INT8 files of a finished pack are made anew from what the pack holds, and all that tells of them with them."""

import subprocess
from pathlib import Path
from shutil import copyfile, copytree

import pytest

from converters import cli
from converters.golden_cases import cases
from converters.packing import card
from firmware_app.packs import pack_folder
from firmware_app.packs.pack_folder import Pack


def test_a_pack_gets_new_int8_files_without_its_checkpoints(
    chain: Path, films: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    old = Pack.load(copytree(chain / "out" / "toy-disc", tmp_path / "old" / "toy-disc"))
    for name in ("words.toml", "toy-disc.test.txt", "toy-disc.looks.txt"):
        copyfile(chain / name, tmp_path / name)
    recipe = tmp_path / "toy-disc.toml"
    recipe.write_text((chain / "toy-disc.toml").read_text().replace('"0.0.1"', '"0.0.2"'), encoding="utf-8")
    words = ["--recipe", str(recipe), "--data", str(films), "--out", str(tmp_path / "out")]
    assert cli.main(["requantize", str(old.folder), *words]) == 0, capfd.readouterr().err

    new = Pack.load(tmp_path / "out" / "toy-disc")
    new.verify()
    was, made = old.manifest, new.manifest
    assert made.version == "0.0.2"
    assert {artefact.path for artefact in made.artefacts} == {artefact.path for artefact in was.artefacts}
    floats = [artefact for artefact in was.artefacts if artefact.precision != "int8"]
    assert [artefact for artefact in made.artefacts if artefact.precision != "int8"] == floats
    assert (made.findings, made.golden) == (was.findings, was.golden)
    assert cases.check(new) == []
    judged = {(gate.runtime, gate.precision): gate.said for gate in made.gates}
    assert {key for key, said in judged.items() if "films that its network has learnt from" in said} == {
        (runtime, "int8") for runtime in ("onnxruntime", "openvino", "litert")
    }
    assert all("times as fast as the float file" in said for key, said in judged.items() if key[1] == "int8")
    assert made.typicality is not None
    assert len(made.typicality.limits) == len(made.artefacts) == len(made.speed)
    assert [row.split for row in made.measured] == [row.split for row in was.measured]
    assert made.made_by["train"] == was.made_by["train"]
    assert (was.test_part, made.test_part) != (None, None)
    assert (
        len((tmp_path / "toy-disc.looks.txt").read_text().splitlines()) == 3
    )  # a heading, the first look and this one
    assert (new.folder / card.NAME).read_text(encoding="utf-8") == card.text(made)
    report = (new.folder / "report.html").read_text(encoding="utf-8")
    assert "Version 0.0.2" in report
    assert report.count("class='requantized'") == 1
    pack_folder.check_sums(new.folder)
    done = subprocess.run(["sha256sum", "--check", "--quiet", pack_folder.SUMS_FILE], cwd=new.folder, check=False)
    assert done.returncode == 0
