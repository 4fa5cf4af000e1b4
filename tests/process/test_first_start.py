"""What the machine's own programs do not do: it is said in a sentence, and all the rest is done."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import resource
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_app.appliance import (
    first_code_screen,
    first_start,
    network_name,
    preparation,
    provisioning_files,
    provisioning_request,
    provisioning_service,
    tls_front,
)
from firmware_app.appliance.checks import processes
from firmware_app.appliance.errors import UnitsNotReread
from firmware_app.appliance.provisioning_request import FirstRequest
from firmware_app.appliance.provisioning_service import DONE
from firmware_app.core import key_files, programs
from firmware_app.core.errors import SealingFailed
from firmware_app.core.programs import ProgramFailed
from firmware_app.core.state_dir import StateDir
from hospital.hospital_site import HospitalSite
from tests.shelf import Box, prepared

ANSWERS = {"box": "clinic-7", "clinic": "清河卫生院", "language": "zh_CN", "zone": "Asia/Urumqi", "ae_title": "LANTERN"}
HANGS, REFUSES, DIES = "exec sleep 60", "echo 'Failed: read-only' >&2; exit 1", "kill -9 $$"
SOON_S = 1.5  # in which a shell begins and ends on a loaded machine
WORDS = {HANGS: "no answer in 1.5 s", REFUSES: "Failed: read-only", DIES: "status -9", "": "not installed"}
Installed = Callable[[str, str], None]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    """A machine on which there is no program but those that a test puts there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sleep").symlink_to("/bin/sleep")
    monkeypatch.setenv("PATH", str(folder))

    def put(name: str, script: str) -> None:
        if script:
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)

    return put


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    """One that is the machine, with systemd in it."""
    made = Box(tmp_path / "box")
    made.state.provision.mkdir()
    (tmp_path / "systemd").mkdir()
    monkeypatch.setattr(first_start, "_SYSTEMD", tmp_path / "systemd")
    monkeypatch.setattr(first_start, "DEFAULT_PATH", tmp_path / "box" / "etc" / "lantern.toml")
    monkeypatch.setattr(first_start, "_ZONE_S", SOON_S)
    assert made.places.machine == made.root, "nothing of the machine that runs the tests is touched"
    return made


@contextlib.contextmanager
def no_room() -> Iterator[None]:
    """No file takes a byte; Python ignores the signal and gets EFBIG (setrlimit(2))."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("script", WORDS)
def test_a_machine_that_takes_no_time_zone_is_a_box_all_the_same_and_says_so(
    box: Box, installed: Installed, script: str
) -> None:
    installed("timedatectl", script)
    provisioning_request.ask(box.state, FirstRequest(answers=ANSWERS))
    made = box.answered()
    assert (made.reason.code, box.config.box.id) == (DONE, "clinic-7")
    (undone,) = made.undone
    assert undone.code == "provision.zone_not_set"
    assert undone.details["zone"] == "Asia/Urumqi"
    assert WORDS[script] in str(undone.details["detail"])
    assert "timedatectl set-timezone Asia/Urumqi" in made.text("en")
    assert provisioning_request.read_result(box.state) == made  # the page shows it too
    assert not provisioning_request.is_waiting(box.state)


def test_what_was_told_once_more_is_answered_as_before_and_sets_the_time_zone_at_last(
    box: Box, installed: Installed
) -> None:
    """The page shows its QR code and has its file to take, whatever became of the clock."""
    installed("timedatectl", REFUSES)

    def told(**changed: str) -> provisioning_request.FirstResult:
        provisioning_request.ask(box.state, FirstRequest(answers={**ANSWERS, **changed}))
        return box.answered()

    first, again = told(), told()
    assert again == replace(first, request=again.request)
    assert again.bundle
    assert told(zone="Asia/Tokyo").reason.code == "provision.already", "no other zone by this way"
    installed("timedatectl", "exit 0")
    at_last = told()
    assert (at_last.reason.code, at_last.undone) == (DONE, ())
    assert not box.places.zone.exists()


def test_a_time_zone_that_was_taken_is_not_spoken_of(box: Box, installed: Installed) -> None:
    installed("timedatectl", "exit 0")
    provisioning_request.ask(box.state, FirstRequest(answers=ANSWERS))
    made = box.answered()
    assert (made.reason.code, made.undone) == (DONE, ())


@pytest.mark.parametrize("script", [HANGS, DIES])
def test_where_nobody_says_whether_there_is_a_chip_no_key_is_made(
    box: Box, installed: Installed, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys that were once written openly stay so."""
    installed("systemd-creds", script)
    monkeypatch.setattr(key_files, "_ASK_S", SOON_S)
    provisioning_request.ask(box.state, FirstRequest(answers=ANSWERS))
    refused = provisioning_service.answer_request(box.config, box.places, key_files.find_tpm)
    assert refused is not None
    assert refused.reason.code == SealingFailed.code
    assert WORDS[script] in str(refused.reason.details["detail"])
    assert not provisioning_request.is_waiting(box.state)
    assert box.config.box.id == "unprovisioned"
    assert not (box.state.line_keys / "identity.pem").exists()


@pytest.mark.parametrize("script", ["", "exit 11"])
def test_a_machine_without_a_chip_has_none(installed: Installed, script: str) -> None:
    installed("systemd-creds", script)
    assert key_files.find_tpm() is None


@pytest.mark.parametrize("script", [HANGS, ""])
def test_a_box_that_does_not_start_again_says_so_on_its_page(
    box: Box,
    house: HospitalSite,
    installed: Installed,
    script: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    installed("systemctl", script)
    installed("timedatectl", "exit 0")
    monkeypatch.setattr(provisioning_service, "_RESTART_S", SOON_S)
    provisioning_request.ask(box.state, FirstRequest(answers=ANSWERS))
    assert provisioning_service.main(["--config", str(box.file), "--restart"]) == 1
    assert "provision.start_needed: " in capsys.readouterr().err
    result = provisioning_request.read_result(box.state)
    assert result is not None
    assert (result.reason.code, [one.code for one in result.undone]) == (DONE, ["provision.start_needed"])
    assert box.config.box.id == "clinic-7"


def test_the_console_is_told_what_was_not_done(
    box: Box, house: HospitalSite, installed: Installed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from firmware_app.cli.command_line import main

    made = prepared(house, tmp_path / "out", zone="Asia/Urumqi")
    options = ["--code", made.code, "--no-tpm", "--config", str(box.file)]
    assert main(["provision", "--file", str(made.file), *options]) == 0
    said = capsys.readouterr()
    assert "timedatectl: not installed" in said.err
    assert "clinic-7" in said.out


@pytest.mark.parametrize(("asked", "expected"), [("en", "This box is now clinic-7"), ("", "clinic-7")])
def test_the_console_speaks_the_language_that_was_asked_for_to_the_end(
    box: Box,
    house: HospitalSite,
    tmp_path: Path,
    asked: str,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The hospital's file makes it a Chinese box; LANTERN_BOX__LANGUAGE is the person at the console."""
    from firmware_app.cli.command_line import main

    monkeypatch.delenv("LANTERN_BOX__LANGUAGE", raising=False)
    if asked:
        monkeypatch.setenv("LANTERN_BOX__LANGUAGE", asked)
    made = prepared(house, tmp_path / "out", language="zh_CN")
    options = ["--code", made.code, "--no-tpm", "--config", str(box.file)]
    assert main(["provision", "--file", str(made.file), *options]) == 0
    said = capsys.readouterr().out
    assert expected in said
    assert (re.search("[\u4e00-\u9fff]", said) is None) == bool(asked)


@pytest.mark.parametrize("script", [HANGS, REFUSES, ""])
def test_a_network_that_is_not_told_the_name_is_a_sentence(
    box: Box, installed: Installed, script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed("busctl", script)
    monkeypatch.setattr(network_name, "_ASK_S", SOON_S)
    monkeypatch.setattr(network_name, "_PATIENCE_S", 0.0)
    monkeypatch.setenv("LANTERN_STATE__DIR", str(box.state.root))
    assert network_name.main() == 1
    said = capsys.readouterr().err
    assert said.startswith("setup.name_not_taken: ")
    assert WORDS[script] in said


@pytest.mark.parametrize("script", [HANGS, REFUSES, ""])
def test_units_that_systemd_did_not_read_anew_are_told_and_read_at_the_next_start(
    box: Box, installed: Installed, script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "_RELOAD_S", SOON_S)
    monkeypatch.setattr(preparation, "RUN", tmp_path)
    (tmp_path / preparation.NOT_REREAD).touch()
    installed("systemctl", script)
    with pytest.raises(UnitsNotReread):
        preparation._reload_systemd(tmp_path)
    (check,) = processes._units()
    assert WORDS[script] in check.reason.text("en")
    installed("systemctl", "exit 0")
    preparation._reload_systemd(tmp_path)
    assert list(processes._units()) == []
    assert not (tmp_path / preparation.NOT_REREAD).exists()


@pytest.mark.parametrize("script", [HANGS, REFUSES, "", "echo no json"])
def test_a_machine_that_does_not_tell_its_addresses_has_none(
    installed: Installed, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed("ip", script)
    monkeypatch.setattr(tls_front, "_LOOK_S", SOON_S)
    assert tls_front.list_addresses() == ()


def test_a_program_is_asked_without_a_terminal_and_what_it_leaves_behind_is_not_waited_for(
    installed: Installed,
) -> None:
    installed("asks", "read answer || echo nobody")
    assert programs.run_program("asks", seconds=5.0) == b"nobody\n"
    installed("leaves", "sleep 60 & exit 3")
    with pytest.raises(ProgramFailed):
        programs.run_program("leaves", seconds=0.3)


def test_accounts_that_cannot_be_opened_are_a_sentence_on_the_console(
    box: Box, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    box.state.accounts_db.write_bytes(b"no database" * 1000)
    assert first_code_screen.main(["--config", str(box.file), "--out", str(tmp_path / "code.issue")]) == 1
    assert capsys.readouterr().err.startswith("store.")


# --- the request ----------------------------------------------------------------------------------------------------


def a_folder(path: Path) -> None:
    path.mkdir()


def a_full_folder(path: Path) -> None:
    path.mkdir()
    (path / "something").write_text("of somebody")


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("nowhere")


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(path.parent):
        made.bind(path.name)  # a socket's name may have 107 bytes at most


def a_giant(path: Path) -> None:
    with path.open("wb") as handle:
        handle.truncate(1 << 40)


def no_json(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")


KINDS = (a_folder, a_full_folder, a_pipe, a_link, a_link_to_nothing, a_socket, a_giant, no_json)


@pytest.mark.timeout(60)  # whoever waits for a pipe waits for ever
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_request_is_refused_in_words_and_out_of_the_way(box: Box, kind: Callable[[Path], None]) -> None:
    kind(box.state.provision / "request.json")
    answer = box.answered()
    assert answer.reason.code == "provision.request"
    assert "Open the page and answer again" in answer.text("en")
    assert not provisioning_request.is_waiting(box.state)  # else systemd would wake root for it again and again
    assert provisioning_service.answer_request(box.config, box.places) is None
    provisioning_request.ask(box.state, FirstRequest(answers=ANSWERS))
    assert box.answered().reason.code == DONE


@pytest.mark.timeout(60)  # whoever waits for a pipe waits for ever
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_offered_file_is_refused_in_words(box: Box, kind: Callable[[Path], None]) -> None:
    (box.state.provision / "offered").mkdir()
    kind(box.state.provision / "offered" / "clinic-7.lantern.json")
    provisioning_request.ask(box.state, FirstRequest(file="clinic-7"))
    answer = box.answered()
    assert answer.reason.code == "provision.file"
    assert not provisioning_request.is_waiting(box.state)


def test_a_folder_where_the_answer_goes_is_put_aside_with_what_is_in_it(box: Box) -> None:
    a_full_folder(box.state.provision / "result.json")
    provisioning_request.ask(box.state, FirstRequest(answers={"box": "-"}))
    made = provisioning_service.answer_request(box.config, box.places)
    assert provisioning_request.read_result(box.state) == made
    (aside,) = box.state.provision.glob(".result.json.*/something")
    assert aside.read_text() == "of somebody"


def test_an_answer_that_cannot_be_written_is_a_sentence_and_wakes_root_once(
    box: Box, capsys: pytest.CaptureFixture[str]
) -> None:
    provisioning_request.ask(box.state, FirstRequest(answers={"box": "-"}))
    with no_room():
        assert provisioning_service.main(["--config", str(box.file)]) == 1
    assert capsys.readouterr().err.startswith("provision.request: ")
    assert not provisioning_request.is_waiting(box.state)


@pytest.mark.parametrize("plant", [Path.mkdir, a_full_folder])
def test_a_folder_where_an_answer_or_a_request_is_written_first_is_put_out_of_the_way(
    box: Box, plant: Callable[[Path], None]
) -> None:
    for name in (".request.json.new", ".result.json.new"):
        plant(box.state.provision / name)
    provisioning_request.ask(box.state, FirstRequest(answers={"box": "-"}))
    made = box.answered()
    assert provisioning_request.read_result(box.state) == made
    assert not provisioning_request.is_waiting(box.state)


def test_a_request_that_cannot_be_laid_down_does_not_end_the_import_of_a_stick(
    box: Box, house: HospitalSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = prepared(house, tmp_path / "stick")
    (box.file.parent / "hospital.json").write_bytes(house.bundle_file.read_bytes())

    def full(state: StateDir, request: FirstRequest) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(provisioning_request, "ask", full)
    (reason,) = provisioning_files.offer_from_stick(made.file.parent, box.config, box.places, whole=True)
    assert reason.code == "provision.request"
