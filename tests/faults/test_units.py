"""The units: little exposed, accepted by systemd, and under a real one what they say: ready, watched, confined.

Confinement is proven by trying: the attempt runs as the unit's own user in the unit's own sandbox (`House.attempt`).
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_app.appliance import box_identity
from firmware_app.core.settings import Config, describe_config
from firmware_app.core.state_dir import StateDir
from hospital.hospital_site import HospitalSite as Hospital
from tests.faults.systemd_house import SystemdContainer
from tests.films import film, save
from tests.peers import REPOSITORY, need_root, peer

UNITS = sorted((REPOSITORY / "systemd" / "units").iterdir())
OF_HOSPITAL = sorted((REPOSITORY / "systemd" / "hospital").glob("*.service"))
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"] + OF_HOSPITAL
PROCESSES = tuple(f"lantern-{name}.service" for name in ("gateway", "reader", "viewer", "uplink", "sender"))
STATE = StateDir(Path("/var/lib/lantern"))
# Addresses of nobody (RFC 5737) and of a private network, both made to lead to the house itself.
PUBLIC, PRIVATE = "192.0.2.7", "10.9.8.7"

# What a unit leaves out of the block, and why it cannot do its work with it.
EXCEPTIONS: dict[str, set[str]] = {
    "lantern-mount@.service": {"PrivateDevices=yes"},  # a stick is a device
    "lantern-provision.service": {"PrivateDevices=yes"},  # so is the chip that seals the box's keys
    "lantern-reset.service": {"PrivateDevices=yes"},  # the keyslots lie on the volume's own
}
# With one capability, and with none but a group; lantern-setup and others run single commands so ("!").
ROOTS = {"lantern-mount@.service", "lantern-provision.service", "lantern-reset.service"}
# The tests cannot wait as long as a clinic can; nothing else of the units is altered.
HASTE = "[Service]\nWatchdogSec=2\nRestartSec=200ms\n"


# --- on paper --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_unit_is_exposed_little(unit: Path) -> None:
    command = [peer("systemd-analyze"), "security", "--offline=true", "--no-pager", "--threshold=15", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_unit_carries_the_block(unit: Path) -> None:
    block = re.findall(r"```\n(.*?)```", (REPOSITORY / "systemd" / "README.md").read_text("utf-8"), re.DOTALL)[0]
    assert len(block.splitlines()) > 20
    missing = set(block.splitlines()) - set(unit.read_text("utf-8").splitlines())
    assert missing == EXCEPTIONS.get(unit.name, set())


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_unit_is_not_roots_and_no_try_is_its_last(unit: Path) -> None:
    lines = unit.read_text("utf-8").splitlines()
    (user,) = (line for line in lines if line.startswith("User="))
    assert user.startswith("User=lantern-") or unit.name in ROOTS
    if any(line.startswith("Restart=") for line in lines):
        assert "StartLimitIntervalSec=0" in lines


@pytest.mark.parametrize("name", ["gateway", "reader", "viewer"])
def test_a_unit_replaces_a_process_that_hangs_within_half_a_minute(name: str) -> None:
    text = (REPOSITORY / "systemd" / "units" / f"lantern-{name}.service").read_text("utf-8")
    seconds_of = {
        key: int(re.findall(rf"^{key}=(\d+)$", text, re.MULTILINE)[0]) for key in ("WatchdogSec", "RestartSec")
    }
    assert sum(seconds_of.values()) <= 25  # and it starts in less than five seconds
    assert "WatchdogSignal=SIGKILL" in text


def test_the_uplink_is_in_no_group_that_opens_an_image() -> None:
    users = (REPOSITORY / "systemd" / "lantern.sysusers").read_text("utf-8")
    assert re.findall(r"^m lantern-uplink +(\S+)", users, re.MULTILINE) == ["lantern-exchange"]


# --- under systemd ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemdContainer]:
    """An installed box that is provisioned and runs; its hospital's broker does not answer."""
    need_root()
    peer("ip")
    peer("storescu")
    folder = tmp_path_factory.mktemp("units")
    hospital = Hospital(folder / "hospital")
    hospital.set_up("127.0.0.1", 8883)
    keys = folder / "line"
    box_identity.begin_identity(keys, "clinic-7", hospital.bundle_file)
    box_identity.complete_identity(keys, hospital.enrol(keys / "box.json")[1])
    tree = {
        "state": {"dir": str(STATE.root)},
        "viewer": {"host": "127.0.0.1"},
        "retention": {"high_water_free_mb": 16, "ballast_mb": 4},
        "pacs": {"host": PRIVATE, "send": True, "wait_seconds": 0.1},
        **box_identity.make_settings(keys),
    }
    config = describe_config(Config.model_validate(tree)).replace(str(keys), str(STATE.line_keys))
    with SystemdContainer() as house:
        house.install(config)
        house.run(f"ip address add {PUBLIC}/32 dev lo; ip address add {PRIVATE}/32 dev lo")
        house.copy(keys, STATE.line_keys)
        house.write("/etc/systemd/system/lantern-.service.d/99-haste.conf", HASTE)
        house.run(
            f"systemctl daemon-reload && systemctl start lantern-setup.service {' '.join(PROCESSES)}", timeout=170
        )
        yield house


def run_attempt(box: SystemdContainer, unit: str, code: str) -> str:
    """What the attempt prints; it must come to its end."""
    done = box.attempt(unit, code)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_systemd_accepts_every_unit(box: SystemdContainer) -> None:
    names = " ".join(f"/etc/systemd/system/{unit.name}" for unit in UNITS)
    assert box.run(f"systemd-analyze verify --man=no {names}") == ""


@pytest.mark.parametrize("unit", PROCESSES)
def test_a_process_says_itself_that_it_is_ready(box: SystemdContainer, unit: str) -> None:
    assert box.show(unit, "ActiveState") == "active"
    assert box.show(unit, "StatusText") == "at work"


def test_a_film_is_read_by_processes_that_may_do_so_little(box: SystemdContainer, tmp_path: Path) -> None:
    path = save(tmp_path, "film.dcm", film())
    box.copy(path, Path("/var/house/film.dcm"))
    box.run(f"{peer('storescu')} -aec LANTERN 127.0.0.1 11112 /var/house/film.dcm")
    cases = "/usr/local/bin/lantern case list --json"
    box.wait("the film to be read", lambda: '"readings": [{' in box.run(cases), 60)
    modes = box.run(f"stat -c '%U %G %a' {STATE.images}/*/*.dcm")
    assert modes.split()[:2] == ["lantern-gateway", "lantern-clinical"]
    # The gateway has begun the folder with the patient's name, and the reader writes what people see beside it.
    folder = f"{STATE.display}/*"
    owners = box.run(f"stat -c '%U %G' {folder}/ {folder}/identity.json {folder}/frame-*.png").splitlines()
    assert owners == ["lantern-gateway lantern-clinical", *["lantern-reader lantern-clinical"] * 2]


# --- the watchdog ----------------------------------------------------------------------------------------------------


def has_restarted(box: SystemdContainer, unit: str, before: int) -> bool:
    return int(box.show(unit, "NRestarts")) > before and box.show(unit, "ActiveState") == "active"


def test_a_process_that_hangs_is_killed_and_started_again(box: SystemdContainer) -> None:
    before = {unit: int(box.show(unit, "NRestarts")) for unit in PROCESSES}
    for unit in PROCESSES:
        box.run(f"kill -STOP {box.pid(unit)}")
    for unit in PROCESSES:
        box.wait(f"{unit} to be back", lambda unit=unit: has_restarted(box, unit, before[unit]), 90)  # type: ignore[misc]
        assert "Watchdog timeout" in box.log(unit)


def test_a_process_that_dies_again_and_again_is_started_again_and_again(box: SystemdContainer) -> None:
    unit = "lantern-gateway.service"  # systemd's own limit, which is lifted here, is five starts in ten seconds
    for _ in range(6):
        before = int(box.show(unit, "NRestarts"))
        box.run(f"systemctl kill --signal KILL {unit}")  # also before it says READY
        box.wait("the gateway to be started", lambda before=before: int(box.show(unit, "NRestarts")) > before)  # type: ignore[misc]
    box.wait_active(unit)


# --- the sandbox -----------------------------------------------------------------------------------------------------

DIAL = """
import socket
def dial(address, port=9, family=socket.AF_INET):
    try:
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.settimeout(1)
            one.connect((address, port))
        return "heard"
    except OSError as error:
        return type(error).__name__ if error.errno != 97 else "no such family"
"""
READ = """
def opened(path):
    try:
        with open(path, "rb"):
            return "opened"
    except OSError as error:
        return type(error).__name__
"""


def test_the_reader_gets_no_socket_of_any_network_from_the_kernel(box: SystemdContainer) -> None:
    families = "socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET"
    code = DIAL + f"print([dial('127.0.0.1', family=family) for family in ({families})])\n"
    code += "print(sorted(line.split(':')[0].strip() for line in open('/proc/net/dev') if ':' in line))"
    refused, networks = run_attempt(box, "lantern-reader.service", code).splitlines()
    assert refused == str(["no such family"] * 4)
    assert networks == "['lo']"  # and that is the loopback of nobody else


def test_the_gateway_speaks_to_private_addresses_and_the_viewer_to_this_machine_only(box: SystemdContainer) -> None:
    code = DIAL + f"print(dial('127.0.0.1'), dial('{PRIVATE}'), dial('{PUBLIC}'))"
    there, refused = "ConnectionRefusedError", "TimeoutError"  # nobody listens there; the kernel drops what is sent
    assert run_attempt(box, "lantern-gateway.service", code).split() == [there, there, refused]
    assert run_attempt(box, "lantern-viewer.service", code).split() == [there, refused, refused]


def test_the_sender_speaks_to_private_addresses_and_opens_images_but_no_account(box: SystemdContainer) -> None:
    box.run(f"echo x > {STATE.images}/an-image; chmod 666 {STATE.images}/an-image")
    code = DIAL + READ + f"print(dial('{PRIVATE}'), dial('{PUBLIC}'))\n"
    code += (
        f"print(opened('{STATE.images / 'an-image'}'), opened('{STATE.accounts_db}'), opened('{STATE.exchange_db}'))"
    )
    dialled, looked = run_attempt(box, "lantern-sender.service", code).splitlines()
    assert dialled.split() == ["ConnectionRefusedError", "TimeoutError"]
    assert looked.split() == ["opened", "PermissionError", "PermissionError"]


def test_the_uplink_opens_no_image_and_no_database_of_the_clinic(box: SystemdContainer) -> None:
    box.run(f"echo x > {STATE.images}/an-image; chmod 666 {STATE.images}/an-image; ls {STATE.clinical_db}")
    paths = [STATE.images / "an-image", STATE.clinical_db, STATE.accounts_db, STATE.run / "gateway.json"]
    code = READ + f"print(*[opened(path) for path in {[str(path) for path in paths]}])\n"
    assert run_attempt(box, "lantern-uplink.service", code).split() == ["PermissionError"] * 4
    # Without the unit, by the user alone; what the others of the clinic may open, it may not.
    box.write("/var/house/user.py", code)
    by_user = "setpriv --reuid {0} --regid {0} --init-groups python3 /var/house/user.py"
    assert box.run(by_user.format("lantern-uplink")).split() == ["PermissionError"] * 4
    assert box.run(by_user.format("lantern-viewer")).split() == ["opened"] * 4


def test_the_viewer_opens_no_image_and_the_gateway_no_account(box: SystemdContainer) -> None:
    box.run(f"echo x > {STATE.images}/an-image; chmod 666 {STATE.images}/an-image")
    code = READ + f"print(opened('{STATE.images / 'an-image'}'), opened('{STATE.accounts_db}'))"
    assert run_attempt(box, "lantern-viewer.service", code).split() == ["PermissionError", "opened"]
    assert run_attempt(box, "lantern-gateway.service", code).split() == ["opened", "PermissionError"]
    assert run_attempt(box, "lantern-reader.service", code).split() == ["opened", "PermissionError"]


def test_no_user_of_the_box_puts_another_folder_in_the_place_of_one(box: SystemdContainer) -> None:
    """Without the unit, by the user alone: who may rename accounts/ may have the viewer believe accounts of his own."""
    code = f"""
import os
for folder in sorted(os.listdir("{STATE.root}")):
    try:
        os.rename("{STATE.root}/" + folder, "{STATE.root}/." + folder)
        print("renamed", folder)
    except PermissionError:
        pass
print("tried", len(os.listdir("{STATE.root}")))
"""
    box.write("/var/house/rename.py", code)
    for user in ("gateway", "reader", "viewer", "usb", "care"):
        by_user = f"setpriv --reuid lantern-{user} --regid lantern-{user} --init-groups"
        lines = box.run(f"{by_user} python3 /var/house/rename.py").splitlines()
        assert len(lines) == 1, lines
        assert int(lines[0].removeprefix("tried ")) > 10


def test_the_lines_private_keys_are_handed_to_the_uplink_and_lie_open_to_nobody(box: SystemdContainer) -> None:
    code = READ + f"import os\nprint(opened('{STATE.line_keys}/identity.pem'), opened('{STATE.line_keys}/tls.key'))\n"
    code += "place = os.environ.get('CREDENTIALS_DIRECTORY', '/nowhere')\n"
    code += "print(opened(place + '/identity.pem'), opened(place + '/tls.key'))"
    on_disk, handed = run_attempt(box, "lantern-uplink.service", code).splitlines()
    assert (on_disk, handed) == ("PermissionError PermissionError", "opened opened")
    on_disk, handed = run_attempt(box, "lantern-reader.service", code).splitlines()
    assert (on_disk, handed) == ("PermissionError PermissionError", "FileNotFoundError FileNotFoundError")


WRITE = """
import json, os
wrote = []
for folder in ("/", "/etc", "/usr/local", "/opt", "/opt/lantern/venv", "/root", "/home", "/boot", "/srv", "/var/lib",
               "/var/log", "/run", "/run/lantern", "/dev", "/sys/fs/cgroup", "/proc/sys/kernel", STATE, *FOLDERS):
    path = folder + "/written-by-a-test"
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
        os.unlink(path)
        wrote.append(folder)
    except OSError:
        pass
print(json.dumps(wrote))
"""
MAY_WRITE = {
    "lantern-gateway.service": ["clinical", "display", "images", "incoming", "run", "set_aside"],
    "lantern-reader.service": ["clinical", "display", "exchange", "packs", "run"],  # it ends trials of packs
    "lantern-viewer.service": ["accounts", "clinical", "exchange", "provision", "run", "software"],
    "lantern-uplink.service": ["exchange"],
    "lantern-sender.service": ["clinical", "outgoing", "results", "run"],
    "lantern-retention.service": ["clinical", "display", "exchange", "images", "run", "set_aside", "usb"],
    "lantern-backup.service": ["accounts", "backup", "clinical", "exchange", "run"],
}


@pytest.mark.parametrize("unit", MAY_WRITE)
def test_a_unit_writes_to_its_part_of_the_state_and_nowhere_else(box: SystemdContainer, unit: str) -> None:
    names = (
        "accounts",
        "backup",
        "clinical",
        "display",
        "exchange",
        "images",
        "incoming",
        "line",
        "outgoing",
        "packs",
        "packs/.kept",
        "packs/.publisher",
        "provision",
        "results",
        "run",
        "set_aside",
        "software",
        "usb",
    )
    code = f"STATE = '{STATE.root}'\nFOLDERS = {[f'{STATE.root}/{name}' for name in names]}\n" + WRITE
    wrote = json.loads(run_attempt(box, unit, code))
    assert sorted(wrote) == sorted(f"{STATE.root}/{name}".rstrip("/") for name in MAY_WRITE[unit])


def test_no_process_becomes_more_than_it_is(box: SystemdContainer) -> None:
    code = """
import ctypes, mmap, os
libc = ctypes.CDLL(None, use_errno=True)
def failed(result): return os.strerror(ctypes.get_errno()) if result == -1 else "done"
mounted = libc.mount(b"none", b"/mnt", b"tmpfs", 0, None)
found = [failed(libc.unshare(0x10000000)), failed(libc.setuid(0)), failed(mounted)]
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)
    found.append("done")
except OSError as error:
    found.append(error.strerror)
try:
    os.mkdir("/tmp/of-a-group"); os.chmod("/tmp/of-a-group", 0o2770)
    found.append("done")
except OSError as error:
    found.append(error.strerror)
print(found)
"""
    no = "Operation not permitted"
    assert run_attempt(box, "lantern-gateway.service", code) == str([no] * 5)
    # OpenVINO writes the kernels that it runs; the rest is refused to the reader too.
    assert run_attempt(box, "lantern-reader.service", code) == str([no, no, no, "done", no])
