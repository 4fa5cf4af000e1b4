"""`lantern provision` at a real terminal and from files: asked, checked, agreed to, and only then written."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from firmware_app.appliance import first_start
from firmware_app.appliance.first_start import IdentityPaths
from firmware_app.appliance.provisioning_answers import Answers
from firmware_app.cases.accounts import Accounts
from firmware_app.core.settings import load_config
from hospital.hospital_site import HospitalSite
from tests.shelf import Box, prepare_box

WAIT_S = 60.0
ANSWERS = Answers("clinic-7", "Clear River", "en", "Asia/Shanghai", "LANTERN", ("DX1",))
# As from a shell that somebody sits at: a test that runs in the background inherits a SIGINT that is ignored.
_MAIN = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from firmware_app.cli.command_line import main; sys.exit(main())"
)


class Terminal:
    """A person at the box's own console."""

    def __init__(self, process: subprocess.Popen[bytes], line: int) -> None:
        self.process, self._line, self.seen, self._from = process, line, "", 0

    def until(self, pattern: str) -> str:
        """What was shown since the last answer, as soon as *pattern* is in it."""
        deadline = time.monotonic() + WAIT_S
        while not re.search(pattern, self.seen[self._from :]):
            assert time.monotonic() < deadline, f"{pattern!r} was never shown: {self.seen}"
            if select.select([self._line], [], [], 1)[0]:
                try:
                    self.seen += os.read(self._line, 65536).decode("utf-8", "replace")
                except OSError:  # the other end is gone
                    assert re.search(pattern, self.seen[self._from :]), self.seen
        return self.seen[self._from :]

    def say(self, text: str) -> None:
        self._from = len(self.seen)
        os.write(self._line, f"{text}\n".encode())

    def answer(self, *pairs: tuple[str, str]) -> None:
        for question, text in pairs:
            self.until(question)
            self.say(text)

    def ends(self) -> int:
        return self.process.wait(WAIT_S)

    def leaves(self, how: str) -> int:
        """Press Ctrl-C or Ctrl-D, as often as it takes: readline misses a signal in the instant before it waits."""
        for _ in range(6):
            if how == "ctrl-c":
                self.process.send_signal(signal.SIGINT)
            else:
                os.write(self._line, b"\x04")
            with suppress(subprocess.TimeoutExpired):
                return self.process.wait(WAIT_S / 6)
        raise AssertionError(self.seen)


@contextmanager
def console(folder: Path, *options: str, rows: int = 90, term: str = "dumb") -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (rows, 80))
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    environment = {**inherited, "LANTERN_STATE__DIR": str(folder / "state"), "TERM": term, "LANTERN_LOG": "ERROR"}
    command = [sys.executable, "-c", _MAIN, "provision", "--write", str(folder / "etc/lantern.toml")]
    process = subprocess.Popen(
        [*command, *options], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def places_of(folder: Path) -> IdentityPaths:
    file = folder / "etc/lantern.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f'[state]\ndir = "{folder / "state"}"\n')
    return IdentityPaths.from_config(load_config(file, {}), file)


def test_the_answers_make_a_box(house: HospitalSite, tmp_path: Path) -> None:
    with console(tmp_path) as person:
        person.answer(
            ("Language|语言", "fr"),
            ("Language|语言", "en"),
            ("Name of the clinic", "Clear River Clinic"),
            ("Box id", "Clinic 7"),
            (r"“Clinic 7” cannot be[\s\S]*Box id", "clinic-7"),
            ("Time zone", "Asia/Urumqi"),
            ("AE title of this box", ""),
            ("may send", "DX1, US1"),
            ("hospital.json", str(tmp_path / "none.json")),
            (r"cannot be used[\s\S]*hospital.json", str(house.bundle_file)),
            (house.load_bundle().fingerprint, "y"),
            ("Code for the first account", "2345-6789-abcd"),
        )
        shown = person.until("Nothing was written")
        assert files(tmp_path) == []
        for text in ("Clear River Clinic", "Asia/Urumqi", "DX1, US1", "mqtt.hospital.example:8883"):
            assert text in shown
        person.say("y")
        shown = person.until("2345-6789-ABCD")
        assert "▀" in shown or "█" in shown
        assert person.ends() == 0
    config = load_config(tmp_path / "etc/lantern.toml", {})
    assert (config.box.id, config.box.name, config.box.language) == ("clinic-7", "Clear River Clinic", "en")
    assert (config.dicom.ae_title, config.dicom.allowed_calling) == ("LANTERN", ("DX1", "US1"))
    assert config.uplink.host == "mqtt.hospital.example"
    assert config.state.dir == tmp_path / "state", "where the keys and accounts were put"
    accounts = Accounts(tmp_path / "state/accounts/accounts.db")
    claim = accounts.find_claim("2345 6789 abcd")
    assert claim is not None
    assert claim.user is None
    accounts.database.close()


def test_another_hospital_is_taken_only_when_a_person_says_that_it_is_meant(
    house: HospitalSite, tmp_path: Path
) -> None:
    other = HospitalSite(tmp_path / "other")
    other.set_up("other.example", 8883)
    places = places_of(tmp_path)
    first_start.apply_answers(ANSWERS, house.load_bundle(), load_config(places.config, {}), places)
    with console(tmp_path, "--config", str(places.config)) as person:
        person.answer(
            *[(r"\]: ", "")] * 5,
            ("hospital.json", str(other.bundle_file)),
            (rf"reports to the hospital {house.load_bundle().fingerprint}\. .*y / N", "n"),
            ("hospital.json", str(other.bundle_file)),
            ("another one from now on.*y / N", "y"),
            (rf"{other.load_bundle().fingerprint}.*telephone.*y / N", "y"),
            ("Code for the first account", ""),
            (r"other\.example[\s\S]*y / N", "y"),
        )
        assert person.ends() == 0
    assert load_config(tmp_path / "etc/lantern.toml", {}).uplink.host == "other.example"


ENTERED = [("Language|语言", "en"), ("Name", "X"), ("Box id", ""), *[(r"\]: ", "")] * 5]


@pytest.mark.parametrize(("questions", "end"), [(3, "ctrl-d"), (len(ENTERED), "ctrl-c"), (len(ENTERED), "no")])
def test_leaving_at_a_question_changes_nothing(tmp_path: Path, questions: int, end: str) -> None:
    with console(tmp_path) as person:
        person.answer(*ENTERED[:questions])
        person.until(r"\]: ")
        if end == "no":
            person.say("no")
        assert (person.ends() if end == "no" else person.leaves(end)) in {1, 130}
    assert files(tmp_path) == []


def test_without_a_terminal_a_folder_needs_the_code(house: HospitalSite, tmp_path: Path) -> None:
    made = [prepare_box(house, tmp_path / "stick", box=f"clinic-{number}") for number in (7, 8)]
    box = Box(tmp_path / "box")

    def provision(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "firmware_app", "provision", "--config", str(box.file), "--json", *options]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    assert provision().stderr.startswith("provision.console: ")
    folder = str(made[0].file.parent)
    assert provision("--file", folder).stderr.startswith("provision.which: ")
    assert box.config.box.id == "unprovisioned"
    done = provision("--file", folder, "--code", made[1].code)
    assert json.loads(done.stdout)["box"] == "clinic-8", done.stderr
    again = provision("--file", folder)  # from now on its own id decides
    assert json.loads(again.stdout) == {**json.loads(done.stdout), "code": None, "changed": False}


def apply_killed(house: HospitalSite, places: IdentityPaths, last: int) -> bool:
    """Apply the answers in a child process that is killed at its file operation *last*; True when it came to its end.

    A fork, because a fresh interpreter for each step would take a second.
    """
    if (child := os.fork()) == 0:
        done = [0]

        def stop_at(event: str, arguments: tuple[object, ...]) -> None:
            if event in ("os.rename", "open") and ".new" in str(arguments[0]):
                done[0] += 1
                if done[0] == last:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(stop_at)
        first_start.apply_answers(ANSWERS, house.load_bundle(), load_config(places.config, {}), places)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return status == 0


def test_a_kill_at_any_instant_leaves_a_box_that_is_or_is_not(house: HospitalSite, tmp_path: Path) -> None:
    """Whatever is on the disk then, the configuration is whole, names no missing file, and asking again ends it."""
    steps, ended = 0, False
    while not ended:
        steps += 1
        (tmp_path / str(steps)).mkdir()
        places = places_of(tmp_path / str(steps))
        ended = apply_killed(house, places, steps)
        config = load_config(places.config, {})
        assert config.box.id in {"unprovisioned", "clinic-7"}
        if config.box.id == "clinic-7":
            assert config.uplink.identity is not None
            assert config.uplink.identity.exists()
        given = first_start.apply_answers(ANSWERS, house.load_bundle(), config, places)
        given.made.check_proof()
        assert load_config(places.config, {}).box.id == "clinic-7"
    assert steps > 8
