"""The limits that a child of the reader lives under, as the kernel tells them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_app.core.child_loop import LARGEST_FILE_BYTES, NICENESS
from firmware_app.core.records import Reason
from firmware_app.reading.decoder import Decoder
from tests.peers import REPOSITORY
from tests.wire.line_rig import wait_for

MEMORY_MB = 512


@pytest.fixture(scope="module")
def child() -> Iterator[int]:
    decoder = Decoder(MEMORY_MB, 10.0)
    decoder.warm()
    yield decoder.pid
    decoder.close()


def limits(pid: int) -> dict[str, tuple[str, str]]:
    """Soft and hard limit by name (proc(5), /proc/PID/limits)."""
    lines = Path(f"/proc/{pid}/limits").read_text("ascii").splitlines()[1:]
    return {line[:26].strip(): (line[26:47].strip(), line[47:68].strip()) for line in lines}


def test_it_may_take_no_more_memory_than_one_image_needs(child: int) -> None:
    soft, hard = limits(child)["Max address space"]
    started = int(Path(f"/proc/{child}/statm").read_text("ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    assert soft == hard
    assert int(soft) <= started + MEMORY_MB * 1024 * 1024


def test_it_writes_no_large_file_and_no_core(child: int) -> None:
    limits_of = limits(child)
    assert limits_of["Max file size"] == (str(LARGEST_FILE_BYTES), str(LARGEST_FILE_BYTES))
    assert limits_of["Max core file size"] == ("0", "0")


def test_it_gains_no_privileges_and_gives_way(child: int) -> None:
    status = Path(f"/proc/{child}/status").read_text("ascii")
    assert "NoNewPrivs:\t1" in status
    assert os.getpriority(os.PRIO_PROCESS, child) == os.getpriority(os.PRIO_PROCESS, 0) + NICENESS


def test_it_has_only_so_much_time_of_the_processor_for_a_job(tmp_path: Path) -> None:
    decoder = Decoder(MEMORY_MB, 10.0)
    try:
        decoder.warm()
        assert limits(decoder.pid)["Max cpu time"][0] == "unlimited"
        (tmp_path / "notes").write_bytes(bytes(400))
        assert isinstance(decoder.begin(tmp_path / "notes", False, None, tmp_path), Reason)
        assert int(limits(decoder.pid)["Max cpu time"][0]) <= 20
    finally:
        decoder.close()


def test_it_dies_with_its_reader_also_while_it_can_listen_to_nobody() -> None:
    lines = f"""
from firmware_app.reading.decoder import Decoder
decoder = Decoder({MEMORY_MB}, 10.0)
decoder.warm()
print(decoder.pid, flush=True)
input()
"""
    command = [sys.executable, "-c", lines]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        child = int(reader.stdout.readline())
        os.kill(child, signal.SIGSTOP)  # as deep in a decoder as one can be
        reader.kill()
    try:
        wait_for(lambda: not lives(child), 10, "the end of the child")
    finally:
        if lives(child):
            os.kill(child, signal.SIGKILL)


def lives(pid: int) -> bool:
    """Whether it runs or is stopped; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
