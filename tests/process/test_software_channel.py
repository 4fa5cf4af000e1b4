"""A signed repository of software in a folder and on a web server, and RAUC's files: taken, refused, cut off."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from converters.publishing import signed_state, software, tuf_keys
from firmware_app.appliance import software_bundle, software_channel
from firmware_app.appliance.errors import SOFTWARE_DAMAGED, SOFTWARE_KIND_OTHER, SOFTWARE_NOT_SIGNED, SoftwareError
from firmware_app.appliance.software_bundle import InstalledSystem, read_installed_system
from firmware_app.appliance.software_offers import Ring
from firmware_app.cli.command_line import main
from firmware_app.core import clock
from firmware_app.packs import repository
from firmware_app.packs.errors import PACK_KIND_OTHER
from firmware_app.packs.offers import RepositoryIndex
from systemd.build import signing
from tests.refusals import raises_refusal
from tests.software_rig import ALL, BOX, Channel, rauc_config
from tests.software_rig import bundle as make_bundle

Serve = Callable[[type[SimpleHTTPRequestHandler]], str]


class Quiet(SimpleHTTPRequestHandler):
    asked: list[tuple[str, str]] = []  # noqa: RUF012 - one list for the test that reads it

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        self.asked.append((self.command, self.path))


class HalfFile(Quiet):
    """Hangs up in the middle of the file."""

    def copyfile(self, source: object, outputfile: object) -> None:
        if self.path.endswith(".raucb"):
            self.wfile.write(source.read(1000))  # type: ignore[attr-defined]
            self.close_connection = True
        else:
            super().copyfile(source, outputfile)  # type: ignore[arg-type]


@pytest.fixture
def signed(tmp_path: Path) -> Channel:
    made = Channel(tmp_path)
    made.publish("0.4.0")
    return made


@pytest.fixture
def serve(signed: Channel) -> Iterator[Serve]:
    servers: list[ThreadingHTTPServer] = []

    def start(handler: type[SimpleHTTPRequestHandler]) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(signed.repository)))
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def fetch_refused(signed: Channel, place: str | None = None) -> str:
    """The code of why nothing is fetched; nothing lies about afterwards."""
    with pytest.raises(SoftwareError) as error:
        signed.fetch(place)
    assert signed.list_files() == []
    return error.value.code


# --- taken ------------------------------------------------------------------------------------------------------------


def test_a_version_comes_from_a_folder_and_the_next_from_a_web_server_that_only_gets_are_sent_to(
    signed: Channel, serve: Serve
) -> None:
    first = signed.fetch()
    assert first.path is not None
    assert first.path.read_bytes() == (signed.folder / "lantern-0.4.0.raucb").read_bytes()
    second = signed.publish("0.5.0")
    Quiet.asked.clear()
    answer = signed.fetch(serve(Quiet), trusting=False)
    assert answer.path is not None
    assert answer.path.read_bytes() == second.read_bytes()
    assert {method for method, _ in Quiet.asked} == {"GET"}
    assert not any("?" in path or "clinic-7" in path for _, path in Quiet.asked), "nothing about the box goes out"


def test_a_version_goes_from_one_box_to_a_share_to_all_and_can_be_withdrawn(signed: Channel) -> None:
    def given(ring: Ring | None) -> str | None:
        software.publish(None, "0.5.0", ring, signed.repository, signed.keys)
        answer = software_channel.check_repository(
            signed.state, BOX, "clinic-7", (), software_channel.UpdateRequest(str(signed.repository), signed.root)
        )
        return answer.offer.version if answer.refusal is None else answer.refusal.code

    signed.publish("0.5.0", Ring(boxes=("clinic-1",)))
    assert given(Ring()) == "0.4.0"
    assert given(Ring(percent=5)) == "0.4.0"
    assert given(ALL) == "0.5.0"
    assert given(None) == "0.4.0"
    assert given(Ring(boxes=("clinic-7",))) == "0.5.0"
    assert given(Ring()) == "0.5.0", "a box that was named before stays in"


# --- refused ----------------------------------------------------------------------------------------------------------


def test_an_altered_or_short_file_is_refused(signed: Channel) -> None:
    target = signed.target("0.4.0")
    whole = target.read_bytes()
    target.write_bytes(whole[:1000] + b"X" + whole[1001:])
    assert fetch_refused(signed) == "software.altered"
    target.write_bytes(whole[:1000])
    assert fetch_refused(signed) == "software.truncated"
    target.write_bytes(whole)
    assert signed.fetch().path is not None


def test_another_publishers_repository_is_refused(signed: Channel, tmp_path: Path) -> None:
    signed.fetch()
    tuf_keys.make(tmp_path / "other")
    shutil.rmtree(signed.repository)
    software.publish(signed.file("9.0.0"), "", ALL, signed.repository, tmp_path / "other")
    signed.root = tmp_path / "other" / "root.json"
    assert fetch_refused(signed) == "software.other_publisher"
    signed.root = None  # type: ignore[assignment]
    assert fetch_refused(signed) == "software.signature"


def test_an_older_state_of_the_repository_is_refused(signed: Channel, tmp_path: Path) -> None:
    shutil.copytree(signed.repository, tmp_path / "old")
    signed.publish("0.5.0")
    signed.fetch()
    assert fetch_refused(signed, str(tmp_path / "old")) == "software.rolled_back"


def test_a_pulled_stick_or_a_line_that_breaks_leaves_nothing_half(signed: Channel, serve: Serve) -> None:
    assert fetch_refused(signed, serve(HalfFile)) == "software.truncated"
    shutil.rmtree(signed.repository / "targets")
    assert fetch_refused(signed) == "software.unreachable"
    shutil.rmtree(signed.repository)
    assert fetch_refused(signed) == "software.unreachable"


# --- RAUC's files -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> signing.Keys:
    return signing.load_keys(tmp_path_factory.mktemp("keys"))


def test_a_file_of_the_right_key_says_version_and_machine(tmp_path: Path, keys: signing.Keys) -> None:
    config = f"--conf={rauc_config(tmp_path, keys)}"
    made = software_bundle.read_bundle(make_bundle(tmp_path, "0.4.0", keys), config)
    assert (made.version, made.machine) == ("0.4.0", "lantern-x86_64")
    software_bundle.judge_bundle(made, BOX, ())
    other = software_bundle.read_bundle(make_bundle(tmp_path, "0.5.0", keys, compatible="lantern-aarch64"), config)
    with pytest.raises(SoftwareError, match=r"software\.machine"):
        software_bundle.judge_bundle(other, BOX, ())


def test_a_file_of_another_key_a_changed_manifest_and_a_cut_one_are_refused(tmp_path: Path, keys: signing.Keys) -> None:
    config = f"--conf={rauc_config(tmp_path, keys)}"
    with raises_refusal(SOFTWARE_NOT_SIGNED):
        software_bundle.read_bundle(make_bundle(tmp_path, "0.4.0", signing.load_keys(tmp_path / "other")), config)
    good = make_bundle(tmp_path, "0.5.0", keys)
    whole = good.read_bytes()
    good.write_bytes(whole.replace(b"version=0.5.0", b"version=9.5.0"))  # the signed manifest stands at the end
    with raises_refusal(SOFTWARE_NOT_SIGNED):
        software_bundle.read_bundle(good, config)
    good.write_bytes(whole[:-100])
    with raises_refusal(SOFTWARE_DAMAGED):
        software_bundle.read_bundle(good, config)
    good.write_bytes(b"no bundle at all" * 1000)
    with raises_refusal(SOFTWARE_DAMAGED):
        software_bundle.read_bundle(good, config)


def test_a_flashed_disk_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "etc/rauc").mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    (tmp_path / "etc/lantern-image").write_text("0.4.0+g1\n")
    (tmp_path / "etc/rauc/system.conf").write_text("[system]\ncompatible=lantern-x86_64\n")
    (tmp_path / "proc/cmdline").write_text("quiet rauc.slot=B root=/dev/dm-0\n")
    assert read_installed_system(tmp_path) == InstalledSystem("lantern-x86_64", "0.4.0+g1", "B")


# --- the commands -----------------------------------------------------------------------------------------------------


def test_the_command_says_what_is_offered_and_why_it_waits(
    signed: Channel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("firmware_app.appliance.software_bundle.read_installed_system", lambda: BOX)
    config = signed.folder / "lantern.toml"
    config.write_text(
        f'[box]\nid = "clinic-7"\n[state]\ndir = "{signed.state.root}"\n'
        f'[software]\nrepository = "{signed.repository}"\n'
    )
    asked = ["software", "check", "--config", str(config), "--json"]
    assert main([*asked, "--root", str(signed.root)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["version"], said["for_this_box"], said["code"]) == ("0.4.0", True, None)
    software.publish(None, "0.4.0", None, signed.repository, signed.keys)
    assert main(asked) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["for_this_box"], said["code"]) == (False, "software.waits")
    assert main(["software", "install", "--config", str(config), "--json"]) == 1
    assert "software.waits" in capsys.readouterr().err
    assert main(["software", "status", "--config", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["slot"] == "A"


def test_the_publishers_command_advances_a_ring(signed: Channel, capsys: pytest.CaptureFixture[str]) -> None:
    from converters.cli import main as convert

    common = ["--repository", str(signed.repository), "--keys", str(signed.keys)]
    new = str(signed.file("0.5.0"))
    assert convert(["publish-software", new, "--ring", "one", "--box", "clinic-7", "--hide", *common]) == 0
    assert "lantern-x86_64 0.5.0: 0 % and 1 named" in capsys.readouterr().out
    assert convert(["publish-software", "--version", "0.5.0", "--ring", "5%", *common]) == 0
    assert "lantern-x86_64 0.5.0: 5 % and 1 named" in capsys.readouterr().out
    assert signed.fetch().offer.version == "0.5.0"
    assert os.listdir(signed.state.channel / "fetched") == ["lantern-0.5.0.raucb"]


def test_a_repository_of_packs_is_told_from_one_of_software(signed: Channel) -> None:
    with signed_state.publication(signed.folder / "packs", RepositoryIndex(), signed.keys, None) as publication:
        publication.sign(RepositoryIndex(), {}, 30)
    with raises_refusal(SOFTWARE_KIND_OTHER):
        signed.fetch(str(signed.folder / "packs"))
    with (
        raises_refusal(PACK_KIND_OTHER),
        repository.open_repository(str(signed.repository), "toy", signed.folder / "trust", signed.root, signed.folder),
    ):
        pass


def test_expired_signatures_are_refused_unless_the_clock_cannot_be_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Channel(tmp_path)
    old.publish("0.4.0", days=-1)
    assert fetch_refused(old) == "software.expired"
    standing = clock.current_clock().status()
    behind = replace(standing, condition=clock.Condition.BEHIND)
    monkeypatch.setattr(type(clock.current_clock()), "status", lambda _self: behind)
    monkeypatch.setattr(type(clock.current_clock().memory()), "find_earliest", lambda _self: 0.0)
    answer = old.fetch()
    assert (answer.path is not None, answer.age_judged) == (True, False)
