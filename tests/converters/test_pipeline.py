"""From a folder of films to a pack, as a model engineer would do it, on films small enough for a test."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from converters import cli
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.runtimes import registry
from tests.converters.conftest import PLAIN, measure_on_box, write_recipe

RUNTIMES = ("onnxruntime", "openvino", "litert")


def stamps(folder: Path) -> dict[str, int]:
    """When each file below was last written, the log aside."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "log.txt")
    return {str(path): path.stat().st_mtime_ns for path in files}


def test_the_chain_ends_in_a_pack_that_the_box_loads(chain: Path) -> None:
    pack = Pack.load(chain / "out" / "toy-disc")
    pack.verify()
    kept = {(artefact.runtime, artefact.precision) for artefact in pack.manifest.artefacts}
    assert kept == {
        ("onnxruntime", "fp32"),
        ("onnxruntime", "int8"),
        ("openvino", "fp16"),
        ("openvino", "int8"),
        ("litert", "fp32"),
        ("litert", "fp16"),
        ("litert", "int8"),
    }
    assert {gate.runtime for gate in pack.manifest.gates} == set(RUNTIMES)
    assert {row.split for row in pack.manifest.measured} == {"test", "out-of-fold"}
    familiar = json.loads((chain / "out" / "work" / "toy-disc" / "typicality.json").read_text())["results"]
    assert familiar["unseen"] >= 1.0
    assert pack.manifest.typicality is not None
    assert (pack.manifest.typicality.unseen, pack.manifest.typicality.varied) == (familiar["unseen"], False)
    abstain, (finding,) = pack.manifest.abstain, pack.manifest.findings
    assert abstain is not None
    assert (abstain.error, abstain.films) == (0.2, pack.manifest.measured[-1].n)
    assert abstain.low <= finding.threshold <= abstain.high
    assert (abstain.given, abstain.wrong) == (
        pack.manifest.measured[-1].passed,
        pack.manifest.measured[-1].wrong_passed,
    )
    usual = finding.usual_scores
    assert usual is not None
    assert (usual.films, usual.prevalence) == (abstain.films, pack.manifest.calibration_prevalence)
    assert f"(mean {usual.mean:g}, spread {usual.spread:g}" in (pack.folder / "CARD.md").read_text("utf-8")
    assert "Coverage against risk" in (pack.folder / "report.html").read_text("utf-8")
    done = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=pack.folder, check=False)
    assert done.returncode == 0
    assert {"CARD.md", "report.html", "sbom.json"} <= {path.name for path in pack.folder.iterdir()}


def test_the_box_itself_measures_every_file_as_right(chain: Path, tmp_path: Path) -> None:
    done = measure_on_box(chain / "out", tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {(row["runtime"], row["precision"]) for row in rows} >= {(runtime, "int8") for runtime in RUNTIMES}
    assert [row for row in rows if not row["right"]] == []


def test_every_command_on_the_card_prints_its_row(
    chain: Path, films: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = Pack.load(chain / "out" / "toy-disc")
    monkeypatch.chdir(chain)
    meant = {"DATA": str(films), "OUT/toy-disc": str(chain / "out" / "toy-disc")}
    rows = [row for row in pack.manifest.measured if row.split == "test"]
    assert len(rows) == 8  # every file, and OpenVINO on the float file of ONNX Runtime
    for row in rows:
        program, *words = shlex.split(row.command)
        assert program == "lantern-convert"
        assert cli.main([meant.get(word, word) for word in words]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["n"], told["positives"], told["threshold"]) == (row.n, row.positives, row.threshold)
        assert (told["auc"], told["sensitivity"]) == pytest.approx((row.auc, row.sensitivity), abs=1e-4)
    assert pack.manifest.test_part is not None
    assert pack.manifest.test_part.looks == len((chain / "toy-disc.looks.txt").read_text().splitlines()) - 1
    (made,) = {row.command for row in pack.manifest.measured if row.split == "out-of-fold"}
    assert made == "lantern-convert run toy-disc.toml --data DATA --out OUT"


def test_the_sets_of_other_places_lead_the_card_and_one_that_is_absent_is_named(
    chain: Path, films: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pack, there = Pack.load(chain / "out" / "toy-disc"), films.parent / "there"
    (row,) = pack.manifest.measured_elsewhere
    assert (row.source, row.n, row.positives, row.runtime, row.precision) == ("there", 8, 4, "onnxruntime", "int8")
    for name in ("CARD.md", "report.html"):
        page = (pack.folder / name).read_text("utf-8")
        assert page.index("there, with a number") < page.index("It is a toy.")
    log = chain / "out" / "work" / "toy-disc" / "log.txt"
    assert "nowhere is not there, so the pack is not tried on it" in log.read_text()
    monkeypatch.chdir(chain)
    meant = {"DATA": str(films), "OUT/toy-disc": str(pack.folder), "EXTERNAL=there": str(there)}
    assert cli.main([meant.get(word, word) for word in shlex.split(row.command)[1:]]) == 0
    (told,) = json.loads(capsys.readouterr().out)["elsewhere"]
    assert told["auc"] == pytest.approx(row.auc, abs=1e-4)
    assert (told["refused"], told["passed"]) == (row.refused, row.passed)


def test_a_float_file_answers_as_the_network_it_was_made_from(chain: Path) -> None:
    import torch

    from converters.training.train import restore

    work = chain / "out" / "work" / "toy-disc"
    net = restore(work / "pruned.fold0.pt")
    film = np.random.default_rng(0).random((1, 1, 64, 64), dtype=np.float32)
    with torch.no_grad():
        maps, features = net(torch.from_numpy(film))
    for runtime, name in (("onnxruntime", "model.fp32.onnx"), ("litert", "model.fp32.tflite")):
        answer = registry.get_runtime(runtime).load(work / "artefacts" / "fold0" / name).infer({"film": film})
        assert np.abs(answer["map"] - maps.numpy()).max() < 1e-4 * max(1.0, float(maps.abs().max()))
        assert np.abs(answer["features"] - features.numpy()).max() < 1e-3


def test_running_it_twice_does_nothing_the_second_time(chain: Path, films: Path) -> None:
    before = stamps(chain / "out")
    command = ["run", str(chain / "toy-disc.toml"), "--data", str(films), "--out", str(chain / "out")]
    assert cli.main(command) == 0
    assert stamps(chain / "out") == before


def test_a_changed_table_repeats_its_step_and_leaves_those_before_it(
    films: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = ["--data", str(films), "--out", str(tmp_path / "out")]
    trained = {**PLAIN, "train": {"epochs": 36}}  # in twelve a fold may learn nothing, which calibration refuses
    recipe = write_recipe(tmp_path, **trained)
    assert cli.main(["train", str(recipe), *out]) == 0
    assert cli.main(["calibrate", str(recipe), *out]) == 0
    before = stamps(tmp_path / "out")
    recipe = write_recipe(tmp_path, **trained, operating_point={"rule": "cost"}, cost={"miss": 5.0})
    assert cli.main(["train", str(recipe), *out]) == 0
    work = tmp_path / "out" / "work" / "toy-disc"
    assert stamps(tmp_path / "out")[str(work / "student.whole.pt")] == before[str(work / "student.whole.pt")]
    assert cli.main(["calibrate", str(recipe), *out]) == 0
    told = json.loads((work / "calibrate.json").read_text())["results"]
    assert told["threshold"] == pytest.approx(1.0 / 6.0, abs=1e-4)
    capfd.readouterr()


def test_a_killed_run_goes_on_where_it_stopped(films: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, **PLAIN, train={"epochs": 400})
    work = tmp_path / "out" / "work" / "toy-disc"
    command = [sys.executable, "-m", "converters.cli", "train", str(recipe), "--data", str(films)]
    command += ["--out", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "epoch 2/" in line:
                process.send_signal(signal.SIGKILL)
                break
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert (work / "student.fold0.resume.pt").is_file()
    assert not (work / "train.json").exists()
    begun = time.monotonic()
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told = [line for line, _ in zip(process.stderr, range(4), strict=False)]
        process.kill()
    assert any("going on after epoch" in line for line in told), (told, time.monotonic() - begun)
