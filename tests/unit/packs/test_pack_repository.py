"""Packs are signed, fetched from a stick or a web server, and put in use whole or not at all."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root

from converters.publishing import repository, tuf_keys
from firmware_app.core import clock
from firmware_app.core.clock import Clock, ClockFile, TimeSource
from firmware_app.packs import installer, pack_folder
from firmware_app.packs.errors import PackError
from tests.machine import IN_1970, FakeClock
from tests.publishing_rig import NAME, PackPublisher, pack


@pytest.fixture
def world(tmp_path: Path) -> PackPublisher:
    made = PackPublisher(tmp_path)
    made.publish("1.0.0")
    return made


@pytest.fixture
def trusting(world: PackPublisher) -> PackPublisher:
    """The box has 1.0.0, and 1.1.0 is offered."""
    world.install(root=world.root)
    world.publish("1.1.0")
    return world


Serve = Callable[[type[SimpleHTTPRequestHandler]], str]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        pass


class HalfModel(Quiet):
    """Hangs up in the middle of the model."""

    def copyfile(self, source: object, outputfile: object) -> None:
        if self.path.endswith(".fp32.onnx"):
            self.wfile.write(source.read(20))  # type: ignore[attr-defined]
            self.close_connection = True
        else:
            super().copyfile(source, outputfile)  # type: ignore[arg-type]


@pytest.fixture
def serve(world: PackPublisher) -> Iterator[Serve]:
    servers: list[ThreadingHTTPServer] = []

    def start(handler: type[SimpleHTTPRequestHandler]) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(world.repository)))
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


# --- the way it is meant ------------------------------------------------------------------------------------------


def test_a_pack_comes_from_a_stick_and_the_next_version_from_a_web_server(world: PackPublisher, serve: Serve) -> None:
    first = world.install(root=world.root)
    assert (first.pack.manifest.version, first.before, first.age_judged) == ("1.0.0", None, True)
    world.publish("1.1.0")
    second = world.install(serve(Quiet))
    assert (second.pack.manifest.version, second.before) == ("1.1.0", "1.0.0")
    installer.verify_pack(second.pack, world.store)
    made = world.folder / "made" / "1.1.0" / NAME
    assert {path.relative_to(second.pack.folder): path.read_bytes() for path in second.pack.folder.rglob("*.*")} == {
        path.relative_to(made): path.read_bytes() for path in made.rglob("*.*")
    }


def test_a_newer_shipped_pack_is_used_before_an_older_installed_one(world: PackPublisher) -> None:
    world.install(root=world.root)
    shutil.copytree(pack(world.folder / "new", "1.10.0"), world.store.shipped / NAME)
    assert world.versions() == ["1.10.0"]
    assert world.expect_refusal().code == "pack.older"


def test_a_pack_in_use_that_cannot_be_read_is_rolled_back(trusting: PackPublisher) -> None:
    folder = trusting.install().pack.folder
    (folder / "manifest.json").write_text("{")
    assert [error.code for error in trusting.store.survey().broken] == ["pack.manifest"]
    assert installer.roll_back(trusting.store, NAME).before == "1.1.0"
    assert trusting.versions() == ["1.0.0"]


def test_a_publisher_hands_over_to_a_new_root_and_boxes_follow(trusting: PackPublisher) -> None:
    root: Metadata[Root] = Metadata.from_file(str(trusting.root))
    root.signed.version = 2
    key = load_pem_private_key((trusting.keys / tuf_keys.path_of("root")).read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    root.sign(CryptoSigner(key))
    (trusting.repository / "metadata" / "2.root.json").write_bytes(root.to_bytes())
    assert trusting.install().pack.manifest.version == "1.1.0"
    assert (trusting.store.publisher / "root_history" / "2.root.json").is_file()


# --- attacks ------------------------------------------------------------------------------------------------------


def test_the_root_of_somebody_else_opens_nothing_and_is_not_kept(world: PackPublisher, tmp_path: Path) -> None:
    other = tuf_keys.make(tmp_path / "other")
    assert world.expect_refusal(root=other).code == "pack.signature"
    assert not world.store.publisher.exists()
    assert world.install(root=world.root).pack.manifest.version == "1.0.0"
    assert world.expect_refusal(root=other).code == "pack.other_publisher"


def test_a_repository_signed_by_somebody_else_is_refused(trusting: PackPublisher, tmp_path: Path) -> None:
    keys, forged = tmp_path / "forger", tmp_path / "forged"
    tuf_keys.make(keys)
    repository.publish(pack(tmp_path / "evil", "9.0.0"), forged, keys)
    assert trusting.expect_refusal(str(forged)).code == "pack.signature"


@pytest.mark.parametrize("name", ["timestamp.json", "2.snapshot.json", "2.targets.json"])
def test_altered_metadata_is_refused(trusting: PackPublisher, name: str) -> None:
    path = trusting.repository / "metadata" / name
    path.write_text(path.read_text().replace("20", "21"))
    assert trusting.expect_refusal().code in {"pack.signature", "pack.altered"}


@pytest.mark.parametrize("name", ["fp32.onnx", "manifest.json", "SHA256SUMS", "note.txt", "index.json"])
@pytest.mark.parametrize("how", ["altered", "truncated", "longer", "unreachable"])
def test_a_file_that_is_not_the_signed_one_is_refused(trusting: PackPublisher, name: str, how: str) -> None:
    for path in trusting.repository.rglob(f"targets/**/*.{name}"):
        data = path.read_bytes()
        if how == "unreachable":
            path.unlink()
        else:
            changed = {"altered": bytes([data[0] ^ 1]) + data[1:], "truncated": data[:-1], "longer": data + b"x"}
            path.write_bytes(changed[how])
    error = trusting.expect_refusal()
    assert error.code == ("pack.altered" if how == "longer" else f"pack.{how}")
    assert name in error.text()


def test_a_download_that_stops_in_the_middle_is_refused(trusting: PackPublisher, serve: Serve) -> None:
    error = trusting.expect_refusal(serve(HalfModel))
    assert error.code == "pack.truncated"
    assert "1.1.0/fp32.onnx" in error.text()


def test_a_server_that_does_not_answer_is_one_sentence(trusting: PackPublisher, serve: Serve) -> None:
    address = serve(Quiet).rpartition(":")[0] + ":1"
    error = trusting.expect_refusal(address)
    assert error.code == "pack.unreachable"
    assert "0x" not in error.text()


def test_an_older_copy_of_the_repository_is_refused(trusting: PackPublisher, tmp_path: Path) -> None:
    shutil.copytree(trusting.repository, tmp_path / "stick")
    trusting.publish("1.2.0")
    trusting.install()
    assert trusting.expect_refusal(str(tmp_path / "stick")).code == "pack.rolled_back"
    assert trusting.versions() == ["1.2.0"]


def test_an_older_version_never_replaces_a_newer_one(trusting: PackPublisher) -> None:
    trusting.install()
    assert trusting.expect_refusal(version="1.0.0").code == "pack.older"


def test_what_a_careless_publisher_signed_is_compared_with_its_own_sums(
    trusting: PackPublisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = pack(tmp_path, "1.2.0")
    (made / "golden" / "note.txt").rename(made / "golden" / "other.txt")
    with pytest.raises(PackError, match=r"pack\.unlisted"):
        repository.publish(made, trusting.repository, trusting.keys)
    with monkeypatch.context() as careless:
        careless.setattr(pack_folder, "check_sums", lambda _folder: None)
        repository.publish(made, trusting.repository, trusting.keys)
    assert trusting.expect_refusal().code == "pack.unlisted"


def test_signatures_that_have_expired_are_refused(world: PackPublisher) -> None:
    world.install(root=world.root)
    repository.publish(pack(world.folder, "1.1.0"), world.repository, world.keys, days=-1)
    assert world.expect_refusal().code == "pack.expired"
    repository.publish(None, world.repository, world.keys)
    assert world.install().pack.manifest.version == "1.1.0"


@pytest.mark.parametrize(("told", "code"), [(True, "pack.expired"), (False, None)])
def test_a_clock_that_nobody_vouches_for_refuses_only_what_has_certainly_expired(
    world: PackPublisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: bool, code: str | None
) -> None:
    machine, file = FakeClock(IN_1970), ClockFile(tmp_path / "clock.json")
    if told:  # before its battery failed
        Clock(file, kernel=machine).learn(time.time(), TimeSource.PERSON)
        machine.restart(IN_1970)
    world.install(root=world.root)
    repository.publish(pack(world.folder, "1.1.0"), world.repository, world.keys, days=-1)
    box = Clock(file, kernel=machine)
    assert not box.stamp().trusted
    monkeypatch.setattr(clock, "current_clock", lambda: box)
    if code is None:
        assert not world.install().age_judged
    else:
        assert world.expect_refusal().code == code


# --- the box's own disk -------------------------------------------------------------------------------------------


def test_what_a_killed_installation_left_is_cleared_away(trusting: PackPublisher) -> None:
    left = trusting.store.installed / ".installing" / NAME
    left.mkdir(parents=True)
    (left / "fp32.onnx").write_bytes(b"half")
    assert trusting.versions() == ["1.0.0"]
    assert trusting.install().pack.manifest.version == "1.1.0"
    assert not left.parent.exists()


def test_two_installations_at_once_do_not_meet(trusting: PackPublisher) -> None:
    with installer._lock_packs(trusting.store, NAME), pytest.raises(PackError, match=r"pack\.busy"):
        trusting.install()
    assert trusting.install().pack.manifest.version == "1.1.0"
