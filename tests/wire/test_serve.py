"""`lantern serve` as a technician sees it: it starts, tells its port, keeps its processes alive, and ends cleanly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.box import LANTERN, RunningBox, make_environment, run_box, run_lantern


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of `box`."""
    return tmp_path_factory.mktemp("box")


@pytest.fixture(scope="module")
def box(folder: Path) -> Iterator[RunningBox]:
    """One that is ready, for every test that leaves it so."""
    with run_box(folder) as running:
        running.wait_ready()
        yield running


def test_status_tells_the_real_port_and_doctor_answers_in_sentences(box: RunningBox, folder: Path) -> None:
    status = json.loads(run_lantern(folder, "status", "--json").stdout)
    assert status["running"] is True
    assert status["ports"]["dicom"] == box.ready["gateway"]["port"] != 0
    assert f"loaded: {status['processes']['reader']['packs']}" in run_lantern(folder, "status").stdout
    checks = [json.loads(line) for line in run_lantern(folder, "doctor", "--json").stdout.splitlines()]
    assert {"state", "database", "queue", "packs", "runtimes", "gateway", "reader"} <= {c["check"] for c in checks}
    assert [check for check in checks if check["result"] == "fail"] == []
    assert all(len(check["text"]) > 10 for check in checks)


def test_a_second_box_on_the_same_state_is_refused_with_a_sentence(box: RunningBox, folder: Path) -> None:
    second = run_lantern(folder, "serve")
    assert second.returncode == 1
    assert "service.already_running" in second.stderr


def test_a_killed_process_comes_back(box: RunningBox) -> None:
    first = box.ready["gateway"]["pid"]
    os.kill(first, signal.SIGKILL)
    assert box.wait_event("ended", "gateway")["status"] == -signal.SIGKILL
    assert box.wait_event("ready", "gateway")["pid"] != first


def test_processes_that_hang_are_replaced_within_half_a_minute(box: RunningBox) -> None:
    stopped = {name: int(box.ready[name]["pid"]) for name in ("gateway", "reader", "viewer")}
    for pid in stopped.values():
        os.kill(pid, signal.SIGSTOP)
    begun = time.monotonic()
    box.ready.clear()
    box.wait_ready()
    assert time.monotonic() - begun < 30
    assert all(box.ready[name]["pid"] != pid for name, pid in stopped.items())


def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    with run_box(tmp_path) as box:
        box.wait_ready()
        family = psutil.Process(box.process.pid).children(recursive=True)
        assert len(family) >= 4  # gateway, reader and the reader's two children
        box.process.kill()
        _gone, alive = psutil.wait_procs(family, timeout=15)
        assert alive == []


def test_sigterm_ends_it_cleanly(box: RunningBox, folder: Path) -> None:
    family = psutil.Process(box.process.pid).children(recursive=True)
    box.process.terminate()
    assert box.process.wait(timeout=30) == 0
    assert [child for child in family if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
    assert json.loads(run_lantern(folder, "status", "--json").stdout)["running"] is False


def test_ctrl_c_at_the_terminal_stops_the_box_at_once(tmp_path: Path) -> None:
    """The terminal signals the whole group; every process must go, and none may have to be killed for it."""
    for number in range(2):
        process = subprocess.Popen(
            [*LANTERN, "serve", "--json"],
            env=make_environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        with process:
            RunningBox(process).wait_ready()
            begun = time.monotonic()
            os.killpg(process.pid, signal.SIGINT)
            _out, said = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "was killed" not in said, f"run {number}"
        assert time.monotonic() - begun < 5
