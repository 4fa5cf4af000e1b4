"""The Debian package, by `make test-deb`: lintian, and its life on a running systemd from dpkg -i to the purge."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firmware_app.installation import debian_package
from firmware_app.installation.ground import PROGRAMS
from tests.faults.systemd_house import House
from tests.peers import REPOSITORY, missing, peer

pytestmark = [pytest.mark.install, pytest.mark.timeout(3600)]

WHEELS = REPOSITORY / "build/wheels"
PROCESSES = ("gateway", "reader", "viewer", "web")
LATER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def package() -> Path:
    found = list((REPOSITORY / "build").glob("lantern-box_*.deb"))
    if len(found) != 1:
        missing("needs build/lantern-box_*.deb; “make test-deb” makes it")
    return found[0]


def test_lintian_has_no_error(package: Path) -> None:
    done = subprocess.run(
        [peer("lintian"), "--allow-root", "--fail-on", "error", str(package)], text=True, capture_output=True
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture
def newer() -> Iterator[Path]:
    """The same box as a package of a later commit, where the house sees it."""
    folder = REPOSITORY / "build/later"
    folder.mkdir(exist_ok=True)
    yield debian_package.write(WHEELS, REPOSITORY, folder, LATER)
    shutil.rmtree(folder)


def test_a_package_is_installed_upgraded_removed_and_purged_and_no_image_is_lost(package: Path, newer: Path) -> None:
    with House(megabytes=6144) as house:
        house.run(
            "mkdir /srv/lantern && mount --bind /opt/lantern/source /srv/lantern &&"
            " for place in venv python source; do umount /opt/lantern/$place 2>/dev/null || true; done &&"
            " rm -rf /opt/lantern /usr/local/bin/lantern /etc/ld.so.conf.d/lantern-house.conf"
        )
        house.run(
            f"sh /srv/lantern/systemd/packages.sh /srv/lantern/build/wheels {' '.join(PROGRAMS.values())}", timeout=600
        )

        house.run(f"dpkg -i /srv/lantern/build/{package.name}", timeout=1800)
        for process in PROCESSES:
            house.wait_active(f"lantern-{process}.service", 180)
        assert "lantern " in house.run("lantern --version")
        assert '"check": "gateway", "result": "ok"' in house.run("lantern doctor --json", check=False, timeout=120)
        house.write("/var/lib/lantern/images/ab/abcd.dcm", "an image")
        house.run("echo '# of the clinic' >> /etc/lantern/lantern.toml")
        settings = house.read("/etc/lantern/lantern.toml")

        house.run(f"dpkg -i /srv/lantern/build/later/{newer.name}", timeout=1800)
        for process in PROCESSES:
            house.wait_active(f"lantern-{process}.service", 180)
        assert house.read("/etc/lantern/lantern.toml") == settings

        house.run("dpkg -r lantern-box", timeout=300)
        assert house.run("systemctl list-units --all --plain --no-legend 'lantern*'", check=False) == ""
        left = house.run("ls -d /opt/lantern /usr/lib/lantern-box /usr/bin/lantern", check=False)
        assert all("cannot access" in line for line in left.splitlines()), left
        assert house.read("/etc/lantern/lantern.toml") == settings
        house.run("dpkg -P lantern-box")
        assert "lantern" not in house.run("ls /etc")
        assert house.read("/var/lib/lantern/images/ab/abcd.dcm") == "an image", "nobody has said that it may go"

        house.run(f"dpkg --unpack /srv/lantern/build/later/{newer.name}", timeout=300)
        house.run(
            "echo lantern-box lantern-box/remove-state boolean true | debconf-set-selections && dpkg -P lantern-box"
        )
        assert "No such file" in house.run("ls -d /var/lib/lantern", check=False)
