"""A stick under a real systemd and a real udev: woken by an event, copied in its sandbox, let go when pulled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.faults import sticks
from tests.faults.loopfs import run
from tests.faults.systemd_house import SystemdContainer
from tests.objects import file_of, film, new_uid

pytestmark = pytest.mark.appliance

IMAGES = 12
CONFIG = """
[box]
language = "en"
[usb]
enabled = true
[retention]
high_water_free_mb = 16
"""
# A loop device is not on USB; else it goes the way of a stick.  Only those that were plugged in here: the kernel tells
# every house of all loop devices of the machine, also of those on which something is being written.
LOOP_IS_STICK = 'SUBSYSTEM=="block", KERNEL=="loop*", TEST=="/run/plugged-in/%k", ENV{LANTERN_STICK}="1"\n'


@dataclass
class Plugged:
    """A house in which a stick was found, and has been copied."""

    house: SystemdContainer
    name: str
    image: Path

    @property
    def importing(self) -> str:
        return f"lantern-import@{self.name}.service"

    @property
    def mounting(self) -> str:
        return f"lantern-mount@{self.name}.service"

    def status(self) -> dict[str, object]:
        status: dict[str, object] = json.loads(
            self.house.run("cat /var/lib/lantern/run/import.json", check=False) or "{}"
        )
        return status


def plug_in(house: SystemdContainer, name: str) -> None:
    house.run(f"mkdir -p /run/plugged-in; touch /run/plugged-in/{name}")
    house.run(f"udevadm trigger --action=add /sys/block/{name}; udevadm settle", timeout=60)


def take_out(house: SystemdContainer, name: str) -> None:
    house.run(f"rm /run/plugged-in/{name}; udevadm trigger --action=remove /sys/block/{name}; udevadm settle")


@pytest.fixture(scope="module")
def plugged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugged]:
    folder = tmp_path_factory.mktemp("stick")
    content = folder / "content"
    content.mkdir()
    study = new_uid()
    for number in range(IMAGES):
        sop = new_uid()
        (content / f"IM{number:04d}").write_bytes(file_of(film(sop_instance=sop, study=study), sop_instance=sop))
    image = sticks.fat(folder / "fat.img", content)
    with SystemdContainer(udev=True) as house:
        house.install(CONFIG)
        house.run("install -D -m 644 /opt/lantern/source/systemd/udev/*.rules -t /etc/udev/rules.d")
        house.write("/etc/udev/rules.d/10-house.rules", LOOP_IS_STICK)
        house.run("systemctl start lantern-setup.service", timeout=120)
        # systemd listens to udev only where it finds one at its own start.
        house.run("systemctl start systemd-udevd.service; udevadm control --reload; systemctl daemon-reexec")
        name = Path(house.loop(image)).name
        stick = Plugged(house, name, image)
        plug_in(house, name)
        house.wait(
            "the stick to be copied", lambda: house.show(stick.importing, "ActiveState") in ("active", "failed"), 120
        )
        yield stick
        run("blockdev", "--setrw", f"/dev/{name}")  # a loop device is used again, also where the mounter was killed


def test_udev_wakes_the_importer_and_every_image_is_taken(plugged: Plugged) -> None:
    status = plugged.status()
    log = plugged.house.log(plugged.importing) + plugged.house.log(plugged.mounting)
    assert (status.get("stage"), status.get("new"), status.get("kind")) == ("done", IMAGES, "vfat"), log
    assert plugged.house.show(plugged.mounting, "ActiveState") == "active"
    owner = plugged.house.run("stat -c %U /var/lib/lantern/images/*/*.dcm | sort -u")
    assert owner == "lantern-usb"
    assert "Images copied and safe: 12" in plugged.house.run("cat /var/lib/lantern/usb/000001.txt")


def test_the_stick_is_mounted_where_nobody_else_sees_it(plugged: Plugged) -> None:
    house = plugged.house
    assert "/run/lantern/usb" not in house.run("cat /proc/self/mountinfo")
    inside = house.run(f"cat /proc/{house.pid(plugged.mounting)}/mountinfo")
    (line,) = (one for one in inside.splitlines() if f"/run/lantern/usb/{plugged.name}/files" in one)
    assert set(line.split()[5].split(",")) >= {"ro", "nosuid", "nodev", "noexec", "nosymfollow"}


TRY = """
import ctypes, errno, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def mount():
    if libc.mount(b"none", b"/tmp", b"tmpfs", 0, None):
        raise OSError(ctypes.get_errno(), "mount")
def internet(): socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect(("192.0.2.1", 1))
def packets(): socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
def accounts(): os.listdir("/var/lib/lantern/accounts")
def keys(): os.listdir("/var/lib/lantern/line")
def clinical(): os.listdir("/var/lib/lantern/clinical")
def shadow(): open("/etc/shadow").read(1)
def configuration(): open("/etc/lantern/lantern.toml", "a")
def device(): open("/dev/DEVICE", "rb").read(1)
def overwrite(): os.write(os.open("/dev/DEVICE", os.O_WRONLY), bytes(512))
def other(): open("/dev/loop-control", "rb")
for name in "NAMES".split():
    try:
        globals()[name]()
    except OSError as error:
        print(name, "refused", errno.errorcode.get(error.errno, error.errno))
    else:
        print(name, "allowed")
"""


def list_refused(plugged: Plugged, unit: str, names: str) -> set[str]:
    """Of *names*, what was refused."""
    done = plugged.house.attempt(unit, TRY.replace("DEVICE", plugged.name).replace("NAMES", names))
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == names.split(), done.stderr
    return {line[0] for line in lines if line[1] == "refused"}


def test_the_importer_reaches_no_network_no_device_no_key_and_mounts_nothing(plugged: Plugged) -> None:
    names = "mount internet packets accounts keys shadow configuration device overwrite other"
    assert list_refused(plugged, plugged.importing, names) == set(names.split())
    assert list_refused(plugged, plugged.importing, "clinical") == set()


def test_the_mounter_reads_the_one_device_and_sees_nothing_of_a_patient(plugged: Plugged) -> None:
    names = "internet packets clinical accounts keys configuration overwrite other"
    assert list_refused(plugged, plugged.mounting, names) == set(names.split())
    assert list_refused(plugged, plugged.mounting, "device") == set()


def test_a_stick_that_is_taken_out_ends_both_and_leaves_no_mount(plugged: Plugged) -> None:
    house = plugged.house
    mounter = house.pid(plugged.mounting)
    take_out(house, plugged.name)
    for unit in (plugged.importing, plugged.mounting):
        house.wait(f"{unit} to end", partial(_is_inactive, house, unit), 60)
    assert plugged.status()["taken_out"] is True
    assert "No such file" in house.run(f"ls /proc/{mounter}", check=False)
    assert "fusefat" not in house.run("ps -eo comm", check=False)
    assert house.run("ls -A /run/lantern/usb") == ""


def _is_inactive(house: SystemdContainer, unit: str) -> bool:
    return house.show(unit, "ActiveState") == "inactive"
