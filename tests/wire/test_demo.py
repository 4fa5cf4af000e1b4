"""`make demo` as a stranger runs it: real processes, both brokers, and nothing of it left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import IO

import psutil
import pytest

from tests.peers import peer

DEMO = [sys.executable, "-m", "demo"]
_COMMANDS = (
    "lantern-hospital keys new",
    "lantern provision --id",
    "lantern-hospital enrol",
    "lantern provision --enrolment",
    "lantern-hospital serve",
    "lantern serve",
    "lantern user add",
)


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    """An environment in which the demo's folder is the only thing below TMPDIR, and settings of another box exist."""
    pytest.importorskip("data_store", reason="needs the extra demo (pydicom-data)")
    return {**os.environ, "TMPDIR": str(tmp_path), "LANTERN_STATE__DIR": "/nonexistent", "LANTERN_DICOM__PORT": "1"}


def left_behind(folder: Path) -> list[str]:
    """Files below *folder* and processes of a demo that played there."""
    left = [str(path) for path in folder.iterdir()]
    for process in psutil.process_iter(["cwd", "cmdline"]):
        if (process.info["cwd"] or "").startswith(str(folder)):
            left.append(" ".join(process.info["cmdline"] or []))
    return left


@pytest.mark.parametrize("broker", ["embedded", pytest.param("mosquitto", marks=pytest.mark.slow)])
def test_it_ends_by_itself_when_the_hospital_holds_every_summary(
    broker: str, alone: dict[str, str], tmp_path: Path
) -> None:
    if broker == "mosquitto":
        peer("mosquitto")
    else:
        pytest.importorskip("amqtt", reason="needs the extra demo (amqtt)")
    done = subprocess.run(
        [*DEMO, "--once", "--broker", broker], env=alone, text=True, capture_output=True, check=False, timeout=80
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout
    assert "\033" not in said  # colour is for terminals
    for command in _COMMANDS:
        assert f"$ {command}" in said
    read, summaries = said.split("$ lantern-hospital summaries")
    cases = re.findall(r"^c-[0-9a-f]{6}", read, re.MULTILINE)
    assert len(cases) == 9
    assert re.search(r"adult chest film RG1 +real .* chest-xray-adult ", read), "the one real chest film is read"
    assert sorted(re.findall(r"^c-[0-9a-f]{6}", summaries, re.MULTILINE)) == sorted(cases)
    assert "http://" not in said, "nothing is offered to be opened that is gone by then"
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_it_stays_until_it_is_stopped_and_leaves_nothing(
    number: signal.Signals, alone: dict[str, str], tmp_path: Path
) -> None:
    process = subprocess.Popen(DEMO, env=alone, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    try:
        said = _until(process.stdout, "It all stays up")
        address = re.search(r"(http://[\d.:]+/claim) +user: doctor +one-time code: \w{4}-\w{4}-\w{4}", said)
        assert address is not None, said
        with urllib.request.urlopen(address[1], timeout=10) as page:
            assert page.status == 200
        assert len(left_behind(tmp_path)) > 5
        process.send_signal(number)
        assert process.wait(40) == (0 if number is signal.SIGINT else 128 + number)
    finally:
        process.kill()
        process.stdout.close()
    assert left_behind(tmp_path) == []


def _until(stream: IO[str], wanted: str) -> str:
    said = ""
    for line in stream:
        said += line
        if wanted in line:
            return said
    raise AssertionError(f"the demo ended before it said “{wanted}”:\n{said}")
