"""`lantern serve` as a technician sees it: it starts, tells its port, keeps its processes alive, and ends cleanly."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.box import lantern, served


def test_status_tells_the_real_port_and_doctor_answers_in_sentences(tmp_path: Path) -> None:
    with served(tmp_path) as box:
        box.wait_ready()
        status = json.loads(lantern(tmp_path, "status", "--json").stdout)
        assert status["running"] is True
        assert status["ports"]["dicom"] == box.ready["gateway"]["port"] != 0
        checks = [json.loads(line) for line in lantern(tmp_path, "doctor", "--json").stdout.splitlines()]
        assert {"state", "database", "queue", "packs", "runtimes", "gateway", "reader"} <= {c["check"] for c in checks}
        assert [check for check in checks if check["result"] == "fail"] == []
        assert all(len(check["text"]) > 10 for check in checks)


def test_a_killed_process_comes_back(tmp_path: Path) -> None:
    with served(tmp_path) as box:
        box.wait_ready()
        first = box.ready["gateway"]["pid"]
        os.kill(first, signal.SIGKILL)
        assert box.event("ended", "gateway")["status"] == -signal.SIGKILL
        assert box.event("ready", "gateway")["pid"] != first


def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    with served(tmp_path) as box:
        box.wait_ready()
        family = psutil.Process(box.process.pid).children(recursive=True)
        assert len(family) >= 4  # gateway, reader and the reader's two children
        box.process.kill()
        _gone, alive = psutil.wait_procs(family, timeout=15)
        assert alive == []


def test_a_second_box_on_the_same_state_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with served(tmp_path) as box:
        box.wait_ready()
        second = lantern(tmp_path, "serve")
        assert second.returncode == 1
        assert "service.already_running" in second.stderr


def test_sigterm_ends_it_cleanly(tmp_path: Path) -> None:
    with served(tmp_path) as box:
        box.wait_ready()
        family = psutil.Process(box.process.pid).children(recursive=True)
        box.process.terminate()
        assert box.process.wait(timeout=30) == 0
        assert [child for child in family if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
    assert json.loads(lantern(tmp_path, "status", "--json").stdout)["running"] is False


def test_doctor_says_what_to_do_when_nothing_runs(tmp_path: Path) -> None:
    done = lantern(tmp_path, "doctor")
    assert done.returncode == 1
    assert "lantern serve" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [(), ("serve",), ("read",), ("status",), ("doctor",), ("config",), ("config", "check"), ("case", "list"),
     ("case", "show")],
)  # fmt: skip
def test_every_command_explains_itself_with_an_example(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = lantern(tmp_path, *arguments, "--help")
    assert done.returncode == 0
    assert "Example: lantern" in done.stdout
