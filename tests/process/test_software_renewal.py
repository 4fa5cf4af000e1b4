"""Root's side of a renewal: what a browser sent, what a stick holds and what the channel offers, by one way.

RAUC reads and judges the files here as on a box.  Only `rauc install` is a stand-in, for there is no slot to write to.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from converters.publishing import software
from firmware_app.appliance import software_channel, software_record, software_requests, software_service, stick_update
from firmware_app.appliance.errors import SOFTWARE_DISK_FULL, SoftwareError
from firmware_app.appliance.software_offers import Ring
from firmware_app.appliance.software_requests import SoftwareRequest
from firmware_app.core import run_status
from systemd.build import signing
from tests.refusals import raises_refusal
from tests.software_rig import ALL, BOX, FlashedBox

ROOT = Path(__file__).parents[2]
KILLED = """
import os, sys
from firmware_app.core.settings import Config
from firmware_app.appliance import software_service as service
from firmware_app.core.state_dir import StateDir
from tests.software_rig import BOX
left, config = int(sys.argv[1]), Config.model_validate_json(sys.argv[2])
def dying(event, _arguments):
    global left
    if event in ("os.rename", "os.remove", "os.rmdir"):
        if left == 0:
            os._exit(9)
        left -= 1
sys.addaudithook(dying)
service.carry_out_requests(config, StateDir(config.state.dir), BOX)
"""


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlashedBox:
    made = FlashedBox(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return made


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    servers: list[ThreadingHTTPServer] = []

    def start(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


# --- from a browser ---------------------------------------------------------------------------------------------------


def test_what_a_browser_sent_is_installed_and_nothing_lies_about(box: FlashedBox) -> None:
    file = box.bundle("0.4.0")
    assert box.send(file)
    assert box.installed.read_bytes() == file.read_bytes()
    assert box.read_outcome_code() == "software.installed"
    assert software_record.read_progress(box.state) == software_record.UpdateProgress("starting", "0.4.0", 100)
    assert box.list_spool() == []


def test_a_file_that_is_not_signed_older_or_no_bundle_is_refused_and_gone(box: FlashedBox, tmp_path: Path) -> None:
    assert not box.send(box.bundle("0.4.0", signing.load_keys(tmp_path / "other")))
    assert box.read_outcome_code() == "software.not_signed"
    assert not box.send(box.bundle("0.2.0"))
    assert box.read_outcome_code() == "software.older"
    assert not box.send(box.file("0.4.0"))
    assert box.read_outcome_code() == "software.damaged"
    assert not box.installed.exists()
    assert box.list_spool() == []


def test_an_installation_that_fails_says_so_and_what_runs_goes_on(box: FlashedBox) -> None:
    box.set_exit_status(1)
    assert not box.send(box.bundle("0.4.0"))
    assert box.read_outcome_code() == "software.not_installed"
    assert software_record.read_progress(box.state) is None
    assert box.list_spool() == []


def test_an_upload_that_breaks_off_leaves_nothing_that_could_be_installed(box: FlashedBox) -> None:
    file = box.bundle("0.4.0")
    data = file.read_bytes()
    token = software_requests.begin_upload(box.state, file.name, len(data), 0)
    at = software_requests.append_piece(box.state, token, 0, data[:1000])
    assert software_requests.append_piece(box.state, token, 0, data[:1000]) == at == 1000, (
        "a piece that came twice is taken once"
    )
    with pytest.raises(SoftwareError, match=r"software\.upload_broken"):
        software_requests.finish_upload(box.state, token, len(data))
    software_requests.submit_request(box.state, SoftwareRequest("upload"))
    assert not software_service.carry_out_requests(box.config(), box.state, BOX)
    assert box.read_outcome_code() == "software.upload_broken"
    assert box.list_spool() == [f"part-{token}"]
    os.utime(box.state.software / f"part-{token}", (0, 0))
    software_service.carry_out_requests(box.config(), box.state, BOX)
    assert box.list_spool() == [], "an hour later it is gone"


def test_a_file_for_which_the_disk_has_no_room_is_refused_before_it_is_sent(box: FlashedBox) -> None:
    with pytest.raises(SoftwareError, match=r"software\.upload_form"):
        software_requests.begin_upload(box.state, "lantern-0.4.0.raucb", software_requests.MOST_BYTES + 1, 0)
    with raises_refusal(SOFTWARE_DISK_FULL):
        software_requests.begin_upload(box.state, "lantern-0.4.0.raucb", 9000, 1 << 60)


# --- from the channel -------------------------------------------------------------------------------------------------


def offer(box: FlashedBox, version: str, ring: Ring = ALL) -> Path:
    file = box.bundle(version)
    software.publish(file, "", ring, box.repository, box.keys)
    trust = box.state.channel / "publisher"
    if not trust.exists():  # a person gives root.json once
        software_channel.check_repository(
            box.state, BOX, "clinic-7", (), software_channel.UpdateRequest(str(box.repository), box.root)
        )
    return file


def test_the_channel_is_only_looked_at_until_a_person_asks(box: FlashedBox) -> None:
    file = offer(box, "0.4.0")
    config = box.config(repository=str(box.repository))
    assert not software_service.carry_out_requests(config, box.state, BOX)
    offered = software_record.read_offered(box.state)
    assert offered is not None
    assert (offered.version, offered.reason) == ("0.4.0", None)
    assert not box.installed.exists()
    software_requests.submit_request(box.state, SoftwareRequest("channel"))
    assert software_service.carry_out_requests(config, box.state, BOX)
    assert box.installed.read_bytes() == file.read_bytes()
    assert box.list_spool() == []


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_a_cut_before_any_step_leaves_the_old_or_the_new_and_the_next_try_ends_well(
    box: FlashedBox, every: int
) -> None:
    file, config = offer(box, "0.4.0"), box.config(repository=str(box.repository))
    for left in range(0, 99, every):
        box.installed.unlink(missing_ok=True)
        run_status.write_check_result(box.state, software_record.NAME, {})
        software_requests.submit_request(box.state, SoftwareRequest("channel"))
        arguments = [str(left), config.model_dump_json()]
        done = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False, cwd=ROOT, capture_output=True)
        if done.returncode == 0:
            break
        assert done.returncode == 9, done.stderr.decode()
        assert not box.installed.exists() or box.installed.read_bytes() == file.read_bytes()
        software_requests.take_request(box.state)
        software_service.carry_out_requests(config, box.state, BOX)  # the timer's next look
        assert box.list_spool() == []
        assert software_record.read_offered(box.state) is not None
    assert left > 5
    assert box.installed.read_bytes() == file.read_bytes()


def choose(box: FlashedBox, repository: str, root: str = "") -> str:
    software_requests.submit_request(
        box.state, SoftwareRequest("choose", repository=repository, automatic=True, root=root)
    )
    assert not software_service.carry_out_requests(box.config(), box.state, BOX)
    return box.read_outcome_code()


def test_a_channel_that_the_page_names_is_kept_when_it_has_proved_to_be_signed(
    box: FlashedBox, serve: Callable[[Path], str]
) -> None:
    software.publish(box.bundle("0.4.0"), "", ALL, box.repository, box.keys)
    address, root = serve(box.repository), box.root.read_text()
    assert choose(box, address) == "software.no_publisher"
    assert choose(box, "https://no address", root) == "software.address"
    assert choose(box, address, "{}") == "software.root"
    assert software_requests.read_channel_settings(box.config(), box.state) == software_requests.ChannelSettings()
    assert choose(box, address, root) == "software.chosen"
    assert software_requests.read_channel_settings(box.config(), box.state) == software_requests.ChannelSettings(
        address, automatic=True
    )
    offered = software_record.read_offered(box.state)
    assert offered is not None
    assert offered.version == "0.4.0"
    assert choose(box, "") == "software.unchosen"
    assert software_requests.read_channel_settings(box.config(), box.state).repository == ""
    assert box.list_spool() == ["chosen.json"]


def test_a_version_that_was_left_is_not_installed_again_by_itself_by_no_way(box: FlashedBox) -> None:
    file, config = offer(box, "0.4.0"), box.config(repository=str(box.repository))
    box.record_unfit_slot("0.4.0")
    software_requests.submit_request(box.state, SoftwareRequest("channel"))
    assert not software_service.carry_out_requests(config, box.state, BOX)
    assert box.read_outcome_code() == "software.left"
    assert not box.send(file)
    assert not box.installed.exists()
    assert box.send(file, again=True), "a person may try it once more"


# --- from a stick -----------------------------------------------------------------------------------------------------


def plug_in(box: FlashedBox, monkeypatch: pytest.MonkeyPatch, *files: Path) -> list[str]:
    """The system commands that a stick with these files leads to."""
    started: list[str] = []
    run = subprocess.run

    def noted(command: list[str], **options: object) -> object:
        if command[0] == "systemctl":
            started.append(" ".join(command))
            return None
        return run(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr("firmware_app.appliance.software_bundle.read_installed_system", lambda: BOX)
    monkeypatch.setattr(stick_update, "load_config", box.config)
    monkeypatch.setattr("subprocess.run", noted)
    stick_update._install_first_usable(files)
    return started


def test_a_stick_renews_the_box_once_and_not_again_after_the_version_was_left(
    box: FlashedBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = box.bundle("0.4.0")
    assert plug_in(box, monkeypatch, file) == ["systemctl reboot"]
    assert box.installed.read_bytes() == file.read_bytes()
    box.record_unfit_slot("0.4.0")
    assert plug_in(box, monkeypatch, file) == [], "the stick is still plugged in"
    ended = software_record.read_outcome(box.state)
    assert ended is not None
    assert (ended.origin, ended.file, ended.reason.code) == ("stick", "lantern-0.4.0.raucb", "software.left")


def test_a_stick_with_a_repository_renews_only_the_boxes_whose_turn_it_is(
    box: FlashedBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = plug_in(box, monkeypatch)
    file = offer(box, "0.4.0", Ring(boxes=("clinic-1",)))
    assert stick_update._install_from_repository(box.repository) == 0
    assert (box.read_outcome_code(), started) == ("software.waits", [])
    software.publish(None, "0.4.0", ALL, box.repository, box.keys)
    assert stick_update._install_from_repository(box.repository) == 0
    assert started == ["systemctl reboot"]
    assert box.installed.read_bytes() == file.read_bytes()
    shutil.rmtree(box.repository / "targets")
    assert stick_update._install_from_repository(box.repository) == 0, "a stick that was pulled"
    assert box.read_outcome_code() == "software.unreachable"
    assert box.list_spool() == []
