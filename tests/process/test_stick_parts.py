"""A stick without a driver, and tools that give no answer."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from firmware_app.ingest import stick_handover, stick_mounting
from firmware_app.ingest.errors import STICK_WITHOUT_DRIVER, StickNotMounted
from tests.refusals import raises_refusal
from tests.unit.ingest.test_stick_parts import machine as machine


@pytest.mark.usefixtures("machine")
def test_a_stick_without_a_driver_is_refused_with_the_package_that_brings_one(tmp_path: Path) -> None:
    (tmp_path / "bin" / "mount").symlink_to("/bin/false")
    with raises_refusal(STICK_WITHOUT_DRIVER) as refused:
        stick_mounting._mount(Path("/dev/null"), tmp_path, stick_mounting.FileSystem.NTFS)
    assert "apt install ntfs-3g" in refused.value.text("en")


def test_what_gives_no_answer_is_told_in_words_and_not_by_the_name_of_a_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (stick_handover, stick_mounting, stick_mounting):
        monkeypatch.setattr(module, "_LIMIT_S", 0.05)
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 9\n")
    silent.chmod(0o700)
    monkeypatch.setattr(stick_mounting, "_BLKID", str(silent))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(tmp_path / stick_handover.SOCKET))
        listening.listen()
        with pytest.raises(StickNotMounted) as of_the_mounter, stick_handover.receive_stick(tmp_path):
            pass
    with pytest.raises(StickNotMounted) as of_mount:
        stick_mounting._run(["sleep", "9"])
    with pytest.raises(StickNotMounted) as of_blkid:
        stick_mounting.probe_file_system(Path("/dev/null"))
    details = [one.value.detail for one in (of_the_mounter, of_mount, of_blkid)]
    assert details == ["no answer in 0.05 s", "sleep: no answer in 0.05 s", f"{silent}: no answer in 0.05 s"]
