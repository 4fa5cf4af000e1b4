"""The signed repository of `make apt`, read by apt itself with lists and a status of its own."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from systemd.build import apt_repository
from tests.peers import needed, peer, read_debian_release


@dataclass
class Apt:
    """apt as on a machine that knows this repository alone, by the key that its first *keyring* holds."""

    folder: Path
    repository: Path
    keyring: Path

    def __post_init__(self) -> None:
        for name in ("lists/partial", "archives/partial"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "status").touch()
        line = (
            f"deb [arch=amd64 signed-by={self.keyring}] file:{self.repository} {read_debian_release()} lantern debian\n"
        )
        (self.folder / "sources.list").write_text(line, "utf-8")

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        own = {
            "Dir::Etc::SourceList": "sources.list",
            "Dir::Etc::SourceParts": "none",
            "Dir::State::Lists": "lists",
            "Dir::State::status": "status",
            "Dir::Cache::archives": "archives/",
            "APT::Sandbox::User": "root",
        }
        options = [word for name, value in own.items() for word in ("-o", f"{name}={self.folder}/{value}")]
        return subprocess.run(
            [
                "apt-get",
                "-y",
                "-q",
                *options,
                "-o",
                "Debug::NoLocking=1",
                "-o",
                "APT::Sandbox::User=root",
                "-o",
                "APT::Architecture=amd64",
                "-o",
                "Dir::Cache::pkgcache=",
                "-o",
                "Dir::Cache::srcpkgcache=",
                *words,
            ],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C"},
        )

    def fetch(self) -> subprocess.CompletedProcess[str]:
        return self("--download-only", "install", "lantern-toy")


def package(folder: Path, name: str, needs: str = "") -> Path:
    tree = folder / name
    (tree / "DEBIAN").mkdir(parents=True)
    depends = f"Depends: {needs}\n" if needs else ""
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: A <a@a.invalid>\n{depends}Description: {name}\n"
    )
    made = folder / f"{name}_1_all.deb"
    subprocess.run([peer("dpkg-deb"), "--build", str(tree), str(made)], check=True, stdout=subprocess.DEVNULL)
    return made


@pytest.fixture
def apt(tmp_path: Path) -> Apt:
    needed("apt-ftparchive", "gpg", "apt-get")
    ours, library = package(tmp_path, "lantern-toy", "toy-library"), package(tmp_path, "toy-library")
    apt_repository.write([ours], [library], tmp_path / "apt", tmp_path / "keys")
    keyring = tmp_path / "trusted.gpg"
    keyring.write_bytes((tmp_path / "apt" / apt_repository.KEYRING).read_bytes())
    return Apt(tmp_path / "machine", tmp_path / "apt", keyring)


def test_apt_takes_a_package_and_what_it_needs_from_a_folder(apt: Apt) -> None:
    done = apt("update")
    assert done.returncode == 0, done.stderr
    done = apt.fetch()
    assert done.returncode == 0, done.stderr
    assert "toy-library" in done.stdout


def test_a_package_that_was_changed_on_the_stick_is_refused(apt: Apt) -> None:
    assert apt("update").returncode == 0
    place = apt.repository / "pool/lantern/lantern-toy_1_all.deb"
    content = bytearray(place.read_bytes())
    content[-1] ^= 1
    place.write_bytes(content)
    done = apt.fetch()
    assert done.returncode != 0
    assert "Hash Sum mismatch" in done.stderr


def test_a_list_that_was_changed_on_the_stick_is_refused(apt: Apt) -> None:
    folder = apt.repository / f"dists/{read_debian_release()}/lantern/binary-amd64"
    (folder / "Packages.gz").unlink()
    (folder / "Packages").write_text((folder / "Packages").read_text("utf-8").replace("Version: 1", "Version: 2"))
    assert "Hash Sum mismatch" in apt("update").stderr
    assert apt.fetch().returncode != 0


def test_a_repository_that_another_key_signed_is_refused(apt: Apt, tmp_path: Path) -> None:
    theirs = package(tmp_path / "theirs", "lantern-toy")
    apt_repository.write([theirs], [], apt.repository, tmp_path / "their-keys")
    done = apt("update")
    assert re.search("NO_PUBKEY|Missing key", done.stderr + done.stdout)  # gpgv, and sqv from Debian 13 on
    assert apt.fetch().returncode != 0
