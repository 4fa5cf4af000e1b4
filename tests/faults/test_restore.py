"""Backups put back under a real systemd, by the very lines of the handbook's chapters on it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_app.core.state_dir import StateDir
from tests.faults.systemd_house import SystemdContainer
from tests.films import film, save
from tests.peers import REPOSITORY, peer

pytestmark = pytest.mark.appliance

STATE = StateDir(Path("/var/lib/lantern"))
CONFIG = '[viewer]\nhost = "127.0.0.1"\n[retention]\nhigh_water_free_mb = 16\nballast_mb = 4\n'
THREE = tuple(f"lantern-{name}.service" for name in ("gateway", "reader", "viewer"))
CASES = "lantern case list --json"


def lines_of(chapter: str, handbook: str = "operations.en.md") -> list[str]:
    """The blocks of commands and settings in one chapter of the handbook."""
    text = (REPOSITORY / "docs" / handbook).read_text("utf-8")
    match = re.search(rf"^## {chapter}\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL)
    assert match is not None
    return re.findall(r"^```\n(.*?)^```$", match[1], re.MULTILINE | re.DOTALL)


OTHER_DISK, SETTING, SAVE = lines_of("Backup")
EVERYTHING, DATABASES = lines_of("Put a backup back")
LOCKING, DISKS, SHARES, RESTORING = lines_of("Replace a lost box")
LOCKED = "/mnt/clinic/lantern"


def commands(block: str) -> list[str]:
    """Without what stands behind them."""
    return [line.partition("   ")[0] for line in block.splitlines()]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[SystemdContainer]:
    """A box with a case that is read, an account, and another disk for its backups."""
    with SystemdContainer() as house:
        house.run("mkdir -p /mnt/backup && mount -t tmpfs -o mode=755 tmpfs /mnt/backup")
        house.install(CONFIG)
        house.run(OTHER_DISK)
        house.write("/etc/lantern/lantern.toml", f"{CONFIG}[backup]\n{SETTING}")
        start(house)
        house.copy(save(tmp_path, "film.dcm", film()), Path("/var/house/film.dcm"))
        send(house)
        house.wait("the film to be read", lambda: '"readings": [{' in house.run(CASES), 60)
        house.run("lantern user add li")
        yield house


def start(house: SystemdContainer) -> None:
    house.run("systemctl start lantern.target", timeout=120)
    for unit in THREE:
        house.wait_active(unit, 120)


def send(house: SystemdContainer) -> None:
    house.run(f"{peer('storescu')} -aec LANTERN 127.0.0.1 11112 /var/house/film.dcm")


def database(house: SystemdContainer) -> str:
    """What the doctor says of the database."""
    checks = [json.loads(line) for line in house.run("lantern doctor --json", check=False).splitlines()]
    return next(str(line["code"]) for line in checks if line["check"] == "database")


def another_machine(house: SystemdContainer) -> None:
    """The same house, empty, and with the box's users counted otherwise."""
    names = house.run("getent passwd | grep -o '^lantern-[a-z]*'").split()
    groups = house.run("getent group | grep -o '^lantern-[a-z]*'").split()
    number = house.run("id -u lantern-gateway")
    house.run("systemctl stop lantern.target 'lantern-*' && rm -rf /var/lib/lantern /etc/lantern/lantern.toml")
    house.run(" && ".join(f"userdel {name}" for name in names))
    house.run("; ".join(f"groupdel {name} 2> /dev/null" for name in groups), check=False)
    house.run(f"useradd --uid {number} --user-group taken-since")
    house.install(CONFIG)
    start(house)
    assert json.loads(house.run("lantern status --json", check=False))["queue"]["cases"] == 0


def test_both_handbooks_have_the_same_lines() -> None:
    assert lines_of("备份", "operations.zh_CN.md") == [OTHER_DISK, SETTING, SAVE]
    assert lines_of("恢复备份", "operations.zh_CN.md") == [EVERYTHING, DATABASES]
    locking, disks, shares, restoring = lines_of("更换丢失的设备", "operations.zh_CN.md")
    assert (disks, shares) == (DISKS, SHARES)
    assert [commands(one) for one in (locking, restoring)] == [commands(one) for one in (LOCKING, RESTORING)]


def test_everything_comes_back_on_a_machine_that_counts_its_users_otherwise(box: SystemdContainer) -> None:
    before, user = box.run(CASES), box.run("id -u lantern-gateway")
    box.run("touch /mnt/backup/lantern-all.tar.gz && chmod 644 /mnt/backup/lantern-all.tar.gz")  # of an earlier day
    box.run(f"umask 022\n{SAVE}", timeout=120)
    assert box.run("stat -c '%U %a' /mnt/backup/lantern-all.tar.gz") == "root 600"
    another_machine(box)
    assert box.run("id -u lantern-gateway") != user
    box.run(EVERYTHING, timeout=120)
    for unit in THREE:
        box.wait_active(unit, 120)
    assert box.run(CASES) == before
    assert "li" in box.run("lantern user list").split()
    assert box.run(f"stat -c %U {STATE.images}/*/*.dcm") == "lantern-gateway"
    assert box.run(f"stat -c '%U %G %a' {STATE.root}") == "root lantern-clinical 751"
    assert database(box) == "doctor.database_ok"
    send(box)  # and it goes on with its work


@pytest.mark.timeout(600)  # two installations
def test_a_locked_backup_comes_back_on_another_machine_with_its_settings(box: SystemdContainer) -> None:
    make_folder, code_line, *_ = commands(LOCKING)
    box.run("mkdir -p /mnt/clinic && mount -t tmpfs -o mode=755 tmpfs /mnt/clinic")
    settings = f'{CONFIG}[box]\nname = "West"\nid = "clinic-7"\n[backup]\n{SETTING}locked = "{LOCKED}"\n'
    box.write("/etc/lantern/lantern.toml", settings)
    box.run(make_folder)
    code = json.loads(box.run(f"{code_line} --json"))["code"]
    box.run("systemctl restart lantern.target", timeout=120)
    box.run("systemctl start lantern-backup.service", timeout=120)
    night = box.run(f"ls {LOCKED}/sets").split()
    assert len(night) == 2, night
    before = json.loads(box.run(CASES).splitlines()[0])
    another_machine(box)
    stop, restore, _ = commands(RESTORING)
    box.run(stop, timeout=120)
    said = box.run(f"echo {code} | LANG=C {restore}", timeout=120)
    assert "clinic-7" in said
    start(box)
    after = json.loads(box.run(CASES).splitlines()[0])
    assert after["readings"] == before["readings"]
    assert "li" in box.run("lantern user list").split()
    assert json.loads(box.run("lantern config show --json"))["box"] | {"id": ""} == {
        "id": "",
        "name": "West",
        "language": "zh_CN",
        "usual_population": "ask",
    }
    assert json.loads(box.run("lantern config show --json"))["box"]["id"] == "unprovisioned"
    assert box.run(f"stat -c '%U %G' {STATE.accounts_db}") == "lantern-viewer lantern-viewer"
    assert box.run(f"stat -c '%G %a' {STATE.images}/* | sort -u") == "lantern-clinical 2770"
    assert database(box) == "doctor.database_ok"
    send(box)
