"""The Debian packages, by `make test-deb`: lintian, and their lives on a running systemd, from the signed repository of
`make apt` to the purge."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firmware_app.appliance.installation.product import HOSPITAL as HOSPITAL_PRODUCT
from systemd.build import debian_contents, debian_package
from tests.faults.systemd_house import SystemdContainer
from tests.peers import REPOSITORY, peer, read_debian_release, skip_or_fail

pytestmark = [pytest.mark.install, pytest.mark.timeout(3600)]

WHEELS = REPOSITORY / "build/wheels"
PROCESSES = ("gateway", "reader", "viewer", "web")
HOSPITAL = "/var/lib/lantern-hospital"
SERVICES = HOSPITAL_PRODUCT.starts
APT = "DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends -o APT::Sandbox::User=root"
LATER = datetime(2100, 1, 1, tzinfo=UTC)


ASK = """
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:8090/healthz", timeout=10).read().decode())
"""
ROW = f"""
from pathlib import Path
from firmware_app.core.errors import TopicUnknown
from hospital.inbox.inbox_db import Inbox
inbox = Inbox(Path("{HOSPITAL}/inbox.db"))
with inbox.transaction():
    inbox.set_aside(TopicUnknown(), None, None, b"bytes")
"""


def test_lintian_has_no_error() -> None:
    build = REPOSITORY / "build"
    packages = [str(path) for path in (*build.glob("lantern-*.deb"), *build.glob("arm64/lantern-*.deb"))]
    if len(packages) < len(debian_contents.BY_NAME):
        skip_or_fail("needs the packages in build; “make test-deb” makes them")
    done = subprocess.run(
        [peer("lintian"), "--allow-root", "--fail-on", "error", *packages], text=True, capture_output=True
    )
    assert done.returncode == 0, done.stdout


def test_every_compiled_wheel_in_a_package_for_arm_is_for_arm() -> None:
    found = [path for board in ("arm64", "jetson") for path in (REPOSITORY / "build" / board).glob("lantern-*.deb")]
    if not found:
        pytest.skip("no package for ARM in build; “make deb ARCH=arm64” makes it")
    for package in found:
        listed = subprocess.run(["dpkg-deb", "--contents", package], text=True, capture_output=True, check=True).stdout
        wheels = [Path(line.split()[5]).name for line in listed.splitlines() if line.endswith(".whl")]
        assert len(wheels) > 10
        assert [name for name in wheels if not name.endswith(("-none-any.whl", "aarch64.whl"))] == []


@pytest.fixture
def later() -> Iterator[Path]:
    """The same Lantern as packages of a later commit, where the house sees them."""
    folder = REPOSITORY / "build/later"
    folder.mkdir(exist_ok=True)
    for contents in debian_contents.BY_NAME.values():
        debian_package.write(contents, WHEELS, REPOSITORY, folder, LATER)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def house() -> Iterator[SystemdContainer]:
    """A Debian without Lantern, whose apt knows no other place than the repository on a stick."""
    if not (REPOSITORY / "build/apt").is_dir():
        skip_or_fail("needs build/apt; “make test-deb” makes it")
    with SystemdContainer(megabytes=7168) as made:
        made.run(
            "mkdir /srv/lantern && mount --bind /opt/lantern/source /srv/lantern &&"
            " for place in venv python source; do umount /opt/lantern/$place 2>/dev/null || true; done &&"
            " rm -rf /opt/lantern /usr/local/bin/lantern /etc/ld.so.conf.d/lantern-house.conf /etc/apt/sources.list*"
            " /var/lib/apt/lists/* && mkdir -p /etc/apt/sources.list.d &&"
            " cp /srv/lantern/build/apt/lantern-archive-keyring.gpg /usr/share/keyrings/"
        )
        made.write(
            "/etc/apt/sources.list.d/lantern.list",
            "deb [signed-by=/usr/share/keyrings/lantern-archive-keyring.gpg] file:/srv/lantern/build/apt"
            f" {read_debian_release()} lantern debian\n",
        )
        made.run(f"{APT} update", timeout=120)
        yield made


def test_a_box_is_installed_upgraded_removed_and_purged_and_no_image_is_lost(
    house: SystemdContainer, later: Path
) -> None:
    house.run(f"{APT} install lantern-box", timeout=1800)
    for process in PROCESSES:
        house.wait_active(f"lantern-{process}.service", 180)
    assert "lantern " in house.run("lantern --version")
    assert '"check": "gateway", "result": "ok"' in house.run("lantern doctor --json", check=False, timeout=120)
    house.write("/var/lib/lantern/images/ab/abcd.dcm", "an image")
    house.run("echo '# of the clinic' >> /etc/lantern/lantern.toml")
    settings = house.read("/etc/lantern/lantern.toml")

    house.run("dpkg -i /srv/lantern/build/later/lantern-box_*.deb", timeout=1800)
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

    house.run("dpkg --unpack /srv/lantern/build/later/lantern-box_*.deb", timeout=300)
    house.run("echo lantern-box lantern-box/remove-state boolean true | debconf-set-selections && dpkg -P lantern-box")
    assert "No such file" in house.run("ls -d /var/lib/lantern", check=False)


def test_a_hospital_is_installed_upgraded_removed_and_purged_and_no_row_is_lost(
    house: SystemdContainer, later: Path
) -> None:
    house.run(f"{APT} install lantern-hospital", timeout=600)
    house.run("lantern-hospital keys new --host 127.0.0.1")
    house.run(f"systemctl start {' '.join(SERVICES)}")
    house.wait("the page", lambda: '"status"' in house.run(_wrap_code(ASK), check=False), 60)
    house.run(_wrap_code(ROW))
    settings = "LANTERN_HOSPITAL_SERVE=--page-port 8090 --silent-minutes 45"
    house.run(f"echo '{settings}' >> /etc/default/lantern-hospital")
    before = house.pid(SERVICES[-1])

    house.run("dpkg -i --force-confold /srv/lantern/build/later/lantern-hospital_*.deb", timeout=600)
    assert house.pid(SERVICES[-1]) != before, "the new programs run"
    house.wait("the page", lambda: '"status"' in house.run(_wrap_code(ASK), check=False), 60)
    assert "hospital.topic" in house.run("lantern-hospital aside --json")
    assert settings in house.read("/etc/default/lantern-hospital")
    for unit in SERVICES:
        house.wait_active(unit)

    house.run("dpkg -r lantern-hospital", timeout=120)
    assert house.run("systemctl list-units --all --plain --no-legend 'lantern*'", check=False) == ""
    left = house.run("ls -d /opt/lantern-hospital /usr/lib/lantern-hospital /usr/bin/lantern-hospital", check=False)
    assert all("cannot access" in line for line in left.splitlines()), left
    house.run("dpkg -P lantern-hospital")
    assert "lantern" not in house.run("ls /etc /etc/default")
    assert "inbox.db" in house.run(f"ls {HOSPITAL}"), "nobody has said that it may go"

    house.run(f"{APT} install lantern-hospital", timeout=600)
    house.wait_active(SERVICES[-1])
    assert "hospital.topic" in house.run("lantern-hospital aside --json")
    consent = "echo lantern-hospital lantern-hospital/remove-state boolean true | debconf-set-selections"
    house.run(f"{consent} && dpkg -P lantern-hospital", timeout=120)
    assert "No such file" in house.run(f"ls -d {HOSPITAL}", check=False)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Debian of today with unattended-upgrades, out of Debian's archives."""
    root = tmp_path_factory.mktemp("plain") / "root"
    wanted = ["--variant=apt", "--mode=root", "--include=unattended-upgrades", read_debian_release(), str(root)]
    done = subprocess.run([peer("mmdebstrap"), "--quiet", *wanted], text=True, capture_output=True, check=False)
    if done.returncode:
        skip_or_fail(f"Debian cannot be reached: {done.stderr[-200:]}")
    return root


def test_security_updates_come_by_themselves_and_no_other_updates(plain: Path) -> None:
    for path, content in debian_contents.BOX.collect_files(REPOSITORY).items():
        if path.is_relative_to("etc/apt"):
            (plain / path).write_bytes(content)
    done = subprocess.run(
        ["chroot", str(plain), "unattended-upgrade", "--dry-run", "--debug"], text=True, capture_output=True
    )
    [allowed] = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Allowed origins are:")]
    assert sorted(allowed.partition(": ")[2].split(", ")) == [
        f"origin=Debian,codename={read_debian_release()}-security,label=Debian-Security",
        f"origin=Ubuntu,archive={read_debian_release()}-security,label=Ubuntu",
    ]
    read = ["APT::Periodic::Unattended-Upgrade", "APT::Periodic::Update-Package-Lists"]
    said = subprocess.run(["chroot", str(plain), "apt-config", "dump", *read], text=True, capture_output=True)
    assert said.stdout.count('"1";') == len(read), said.stdout


def _wrap_code(code: str) -> str:
    return f"/opt/lantern-hospital/venv/bin/python - <<'CODE'\n{code}\nCODE"
