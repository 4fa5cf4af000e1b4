"""`lantern provision` at a real terminal: asked, checked, agreed to, and only then written."""

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
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from firmware_app.appliance import certificate_authority, first_start
from firmware_app.appliance.certificate_authority import PageNames
from firmware_app.appliance.errors import PROVISIONED_ALREADY
from firmware_app.appliance.first_start import IdentityPaths
from firmware_app.appliance.provisioning_answers import QUESTIONS, Answers, read_time_zone
from firmware_app.cases.accounts import Accounts
from firmware_app.core.errors import LanternError
from firmware_app.core.settings import load_config
from hospital.hospital_site import HospitalSite
from tests.refusals import raises_refusal
from tests.shelf import prepared

WAIT_S = 60.0
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
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}  # the tester's
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


def test_the_answers_make_a_box(house: HospitalSite, tmp_path: Path) -> None:
    with console(tmp_path) as person:
        person.answer(
            ("Language", "2"),
            ("Name of the clinic", "Clear River Clinic"),
            ("Box id", "Clinic 7"),
            (r"“Clinic 7” cannot be[\s\S]*Box id", "clinic-7"),
            ("Time zone", "Asia/Nowhere"),
            (r"is not a time zone[\s\S]*Time zone", "Asia/Urumqi"),
            ("AE title of this box", ""),
            ("may send", "DX1, US1"),
            ("hospital.json", str(tmp_path / "none.json")),
            (r"cannot be used[\s\S]*hospital.json", "~nobody-whom-it-knows/hospital.json"),
            (r"cannot be used[\s\S]*hospital.json", str(house.bundle_file)),
            (house.bundle().fingerprint, "y"),
            ("Code for the first account", "nonsense"),
            (r"12 letters[\s\S]*Code for the first account", "2345-6789-abcd"),
        )
        shown = person.until("Nothing was written")
        assert "PACS" not in shown, "nothing is sent there, so nobody is asked for one"
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
    claim = accounts.claim("2345 6789 abcd")
    assert claim is not None
    assert claim.user is None
    accounts.database.close()


def test_asked_again_enter_keeps_everything(house: HospitalSite, tmp_path: Path) -> None:
    answers = Answers("clinic-7", "清河卫生院", "zh_CN", read_time_zone(), "LANTERN", ("DX1",))
    places = places_of(tmp_path)
    first_start.apply_answers(answers, house.bundle(), load_config(places.config, {}), places)
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    with console(tmp_path, "--config", str(places.config)) as person:
        for _ in range(7):  # language, name, zone, own title, senders, hospital, code; the id is not asked again
            person.until(r"\]: ")
            person.say("")
        person.until(r"clinic-7[\s\S]*y / N")
        person.say("y")
        assert person.ends() == 0
    after = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    assert {name: after[name] for name in before} == before


def test_another_hospital_is_taken_only_when_a_person_says_that_it_is_meant(
    house: HospitalSite, tmp_path: Path
) -> None:
    other = HospitalSite(tmp_path / "other")
    other.establish("other.example", 8883)
    answers = Answers("clinic-7", "Clear River", "en", read_time_zone(), "LANTERN", ("DX1",))
    places = places_of(tmp_path)
    first_start.apply_answers(answers, house.bundle(), load_config(places.config, {}), places)
    with console(tmp_path, "--config", str(places.config)) as person:
        person.answer(
            *[(r"\]: ", "")] * 5,
            ("hospital.json", str(other.bundle_file)),
            (rf"reports to the hospital {house.bundle().fingerprint}\. .*y / N", "n"),
            ("hospital.json", str(other.bundle_file)),
            ("another one from now on.*y / N", "y"),
            (rf"{other.bundle().fingerprint}.*telephone.*y / N", "y"),
            ("Code for the first account", ""),
            (r"other\.example[\s\S]*y / N", "y"),
        )
        assert person.ends() == 0
    assert load_config(tmp_path / "etc/lantern.toml", {}).uplink.host == "other.example"


@pytest.fixture
def near() -> Iterator[Path]:
    """A folder whose path is as short as a box's own, so that the sentences that name it take as many lines."""
    with TemporaryDirectory(prefix="l-", dir="/tmp") as name:
        yield Path(name)


def test_on_a_small_screen_a_sentence_stands_for_the_code_that_would_run_off_it(
    house: HospitalSite, near: Path
) -> None:
    answers = Answers("clinic-7", "Clear River", "en", read_time_zone(), "LANTERN")
    places = places_of(near)
    first_start.apply_answers(answers, house.bundle(), load_config(places.config, {}), places)
    with console(near, "--config", str(places.config), rows=25) as person:
        person.answer(*[(r"\]: ", "")] * 7, ("y / N", "y"))
        shown = person.until("make the first account")
        assert person.ends() == 0
    assert "█" not in shown
    assert f"too small for the QR code of {places.keys / 'box.json'}" in shown
    assert sum(1 + len(line) // 80 for line in shown.splitlines()) <= 25, "nothing of it has run off the screen"


def places_of(folder: Path) -> IdentityPaths:
    file = folder / "etc/lantern.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f'[state]\ndir = "{folder / "state"}"\n')
    return IdentityPaths.of(load_config(file, {}), file)


ENTERED = [("Language", "2"), ("Name", "X"), ("Box id", ""), *[(r"\]: ", "")] * 5]


@pytest.mark.parametrize(("questions", "end"), [(0, "ctrl-c"), (3, "ctrl-d"), (len(ENTERED), "ctrl-c")])
def test_whoever_leaves_leaves_nothing_behind(tmp_path: Path, questions: int, end: str) -> None:
    with console(tmp_path) as person:
        person.answer(*ENTERED[:questions])
        person.until(r"\]: ")
        assert person.leaves(end) in {1, 130}
    assert files(tmp_path) == []


def test_whoever_says_no_leaves_nothing_behind(tmp_path: Path) -> None:
    with console(tmp_path) as person:
        person.answer(*ENTERED, ("y / N", "no"))
        assert person.ends() == 1
    assert files(tmp_path) == []


def test_of_a_stick_for_many_boxes_the_code_that_is_asked_for_decides(house: HospitalSite, tmp_path: Path) -> None:
    seven, eight = (prepared(house, tmp_path / "stick", box=f"clinic-{number}") for number in (7, 8))
    with console(tmp_path, "--file", str(seven.file.parent)) as person:
        person.answer(("Code on the label|标签上的", eight.code))
        assert person.ends() == 0
    assert load_config(tmp_path / "etc/lantern.toml", {}).box.id == "clinic-8"


@pytest.mark.parametrize(
    ("boxes", "end"), [((7,), "ctrl-c"), ((7, 8), "ctrl-d")], ids=["of an unknown hospital", "for many boxes"]
)
def test_whoever_leaves_when_the_label_is_asked_for_leaves_nothing_behind(
    house: HospitalSite, tmp_path: Path, boxes: tuple[int, ...], end: str
) -> None:
    for number in boxes:
        prepared(house, tmp_path / "stick", box=f"clinic-{number}")
    before = files(tmp_path)
    with console(tmp_path, "--file", str(tmp_path / "stick")) as person:
        person.until("Code on the label|标签上的")
        assert person.leaves(end) in {1, 130}
        person.until("Nothing was written|没有写入|Stopped|停止" if end == "ctrl-d" else "")
        assert "Traceback" not in person.seen
    assert files(tmp_path) == before


def test_without_a_terminal_nobody_is_asked(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "firmware_app", "provision", "--write", str(tmp_path / "lantern.toml")]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("provision.console: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.appliance
def test_a_kill_at_any_instant_leaves_a_box_that_is_or_is_not(house: HospitalSite, tmp_path: Path) -> None:
    """Whatever is on the disk then, the configuration is whole, names no missing file, and asking again ends it."""
    script = (
        "import sys, json\nfrom pathlib import Path\nfrom firmware_app.core.settings import load_config\n"
        "from firmware_app.appliance import box_identity, first_start\n"
        "from firmware_app.appliance.provisioning_answers import Answers\n"
        "from firmware_app.appliance.first_start import IdentityPaths\nimport os\n"
        "from firmware_app.core import state_dir as files\n"
        "count, stop = [0], int(sys.argv[3])\n"
        "def audited(event, args):\n"
        "    if event in ('os.rename', 'open') and '.new' in str(args[0]):\n"
        "        count[0] += 1\n"
        "        if count[0] == stop: os.kill(os.getpid(), 9)\n"
        "file = Path(sys.argv[1]); config = load_config(file, {}); places = IdentityPaths.of(config, file)\n"
        "sys.addaudithook(audited)\n"
        "answers = Answers('clinic-7', 'X', 'en', 'Asia/Shanghai', 'LANTERN')\n"
        "first_start.apply_answers(answers, box_identity.read_hospital(Path(sys.argv[2])), config, places)\n"
        "print(count[0])\n"
    )
    steps = 1
    while True:
        folder = tmp_path / str(steps)
        folder.mkdir()
        places = places_of(folder)
        command = [sys.executable, "-c", script, str(places.config), str(house.bundle_file), str(steps)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        config = load_config(places.config, {})
        assert config.box.id in {"unprovisioned", "clinic-7"}
        if config.box.id == "clinic-7":
            assert config.uplink.identity is not None
            assert config.uplink.identity.exists()
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        answers = Answers("clinic-7", "X", "en", "Asia/Shanghai", "LANTERN")
        given = first_start.apply_answers(answers, house.bundle(), config, places)
        given.made.prove()
        assert load_config(places.config, {}).box.id == "clinic-7"
        steps += 1
    assert steps > 8


def test_a_box_keeps_its_id(house: HospitalSite, tmp_path: Path) -> None:
    places = places_of(tmp_path)
    answers = Answers("clinic-7", "X", "en", "Asia/Shanghai", "LANTERN")
    first_start.apply_answers(answers, None, load_config(places.config, {}), places)
    other = Answers("clinic-8", "X", "en", "Asia/Shanghai", "LANTERN")
    with raises_refusal(PROVISIONED_ALREADY):
        first_start.apply_answers(other, house.bundle(), load_config(places.config, {}), places)
    assert load_config(places.config, {}).box.id == "clinic-7"


def test_the_clock_shows_the_clinics_time_and_nobody_elses_is_touched(tmp_path: Path) -> None:
    etc = tmp_path / "machine"
    etc.mkdir()
    (etc / "localtime").symlink_to("/usr/share/zoneinfo/Etc/UTC")
    (etc / "timezone").write_text("Etc/UTC\n")
    plain = places_of(tmp_path)
    places = IdentityPaths(plain.config, plain.keys, plain.state, etc)
    before = Path("/etc/localtime").lstat()
    answers = Answers("clinic-7", "X", "en", "Asia/Urumqi", "LANTERN")
    first_start.apply_answers(answers, None, load_config(places.config, {}), places)
    assert read_time_zone(etc / "localtime") == "Asia/Urumqi"
    assert (etc / "timezone").read_text() == "Asia/Urumqi\n"
    assert Path("/etc/localtime").lstat() == before


def test_answers_survive_being_typed_again() -> None:
    for answers in (
        Answers("clinic-7", "清河卫生院", "zh_CN", "Asia/Shanghai", "LANTERN"),
        Answers("a", "x" * 60, "en", "Europe/Berlin", "BOX 1", ("DX1", "US 1")),
    ):
        assert Answers.checked(answers.as_text()) == answers


@pytest.mark.parametrize(
    ("key", "text", "code"),
    [
        ("clinic", "", "provision.name"),
        ("clinic", "a\nb", "provision.name"),
        ("clinic", "x" * 61, "provision.name"),
        ("clinic", "a\u202eb", "provision.name"),
        ("box", "Clinic", "provision.box_id"),
        ("box", "unprovisioned", "provision.box_id"),
        ("language", "fr", "provision.language"),
        ("zone", "../../etc/passwd", "provision.zone"),
        ("zone", "", "provision.zone"),
        ("ae_title", "", "provision.ae_title"),
        ("ae_title", "A" * 17, "provision.ae_title"),
        ("calling", "DX1,B\\C", "provision.ae_title"),
    ],
)
def test_a_wrong_answer_is_told_with_a_code_and_what_was_typed(key: str, text: str, code: str) -> None:
    question = next(one for one in QUESTIONS if one.key == key)
    with pytest.raises(LanternError) as caught:
        question.check(text)
    assert caught.value.code == code
    assert caught.value.text("en").endswith(".")


def test_a_chinese_keyboards_commas_separate_too() -> None:
    question = next(one for one in QUESTIONS if one.key == "calling")
    assert question.check("DX1，US1、 CT1;DX1") == ("DX1", "US1", "CT1")


def test_the_label_says_where_and_who(house: HospitalSite, tmp_path: Path) -> None:
    places = places_of(tmp_path)
    first_start.apply_answers(
        Answers("clinic-7", "清河 <b>卫生院", "en", "Asia/Shanghai", "LANTERN"),
        None,
        load_config(places.config, {}),
        places,
    )
    command = [sys.executable, "-m", "firmware_app", "provision", "--label", str(tmp_path / "label.html")]
    done = subprocess.run(
        [*command, "--config", str(places.config), "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["address"] == "https://lantern-clinic-7.local/"
    assert json.loads(done.stdout)["fingerprint"] is None
    page = (tmp_path / "label.html").read_text("utf-8")
    assert "清河 &lt;b&gt;卫生院" in page
    assert "https://lantern-clinic-7.local/" in page
    assert "<svg" in page


def test_a_label_without_a_fingerprint_says_why(tmp_path: Path) -> None:
    """It is compared with what the browser shows: a label that is silent of it is believed to be whole."""
    places = places_of(tmp_path)
    first_start.apply_answers(
        Answers("clinic-7", "X", "en", "Asia/Shanghai", "LANTERN"), None, load_config(places.config, {}), places
    )
    label = tmp_path / "label.html"
    command = [sys.executable, "-m", "firmware_app", "provision", "--label", str(label)]

    def printed() -> str:
        done = subprocess.run([*command, "--config", str(places.config)], capture_output=True, text=True, check=True)
        assert done.stdout == f"{label}\n"
        return done.stderr

    assert "has no certificate yet" in printed()
    assert "print this label again" in label.read_text("utf-8")
    certificate_authority.prepare_certificates(
        places.state, PageNames(("lantern-clinic-7.local",), ()), datetime.now(UTC)
    )
    assert printed() == ""
    assert str(certificate_authority.authority_fingerprint(places.state)) in label.read_text("utf-8")
