"""The units: little exposed, accepted by systemd, and under a real one what they say: ready, watched, confined.

Confinement is proven by trying: the attempt runs as the unit's own user in the unit's own sandbox (`House.attempt`).
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_app.appliance import box_identity, unit_drop_ins
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
# Those that need no disk but the box's own.  The others mend from a backup on one, make it, or take films from there.
ALOOF = tuple(
    f"lantern-{name}.service" for name in ("uplink", "web", "console", "certificate", "provision", "retention")
)
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


def test_a_drop_in_goes_when_its_reason_has_gone(tmp_path: Path) -> None:
    assert unit_drop_ins.write_drop_ins(tmp_path, {"a.service": ("Nice=1",)})
    assert not unit_drop_ins.write_drop_ins(tmp_path, {"a.service": ("Nice=1",)})
    assert unit_drop_ins.write_drop_ins(tmp_path, {})
    assert not list(tmp_path.glob("*/*"))


def test_a_house_leaves_nothing_behind_when_what_is_done_in_it_fails() -> None:
    need_root()
    house = SystemdContainer()
    with pytest.raises(AssertionError, match="ended with 3"), house:
        house.run("sleep 1000 > /dev/null 2>&1 & exit 3")
    assert not house.base.exists()
    assert not house.group.exists()
    assert not Path(f"/proc/{house.first}").exists()
    assert str(house.base) not in Path("/proc/self/mountinfo").read_text("utf-8")


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


def test_setup_done_twice_changes_nothing(box: SystemdContainer) -> None:
    look = (
        f"find {STATE.root} -type d -printf '%p %u %g %m\\n' | sort; find /run/systemd/system/*.d -printf '%p %T@\\n'"
    )
    before = box.run(look)
    assert f"{STATE.root} root lantern-clinical 751" in before.splitlines()
    assert f"{STATE.images} root lantern-clinical 2770" in before.splitlines()
    assert f"{STATE.exchange_db.parent} root lantern-exchange 2770" in before.splitlines()
    box.run("systemctl restart lantern-setup.service")
    assert box.run(look) == before


def test_what_root_has_copied_into_the_state_is_handed_to_its_group(box: SystemdContainer) -> None:
    box.run(
        f"mkdir -p {STATE.packs}/one && echo x > {STATE.packs}/one/file && ln -s /etc/shadow {STATE.packs}/one/link"
    )
    box.run(
        f"chown -Rh root:root {STATE.packs} && chmod -R go= {STATE.packs} && systemctl restart lantern-setup.service"
    )
    look = f"stat -c '%G %a' {STATE.packs} {STATE.packs}/one {STATE.packs}/one/file; stat -c '%U:%G %a' /etc/shadow"
    shared = ["lantern-clinical 2770"] * 2 + ["lantern-clinical 660"]
    assert box.run(look).splitlines() == [*shared, box.run("stat -c '%U:%G %a' /etc/shadow")]
    assert box.run("stat -c %U:%G /etc/shadow") == "root:shadow"
    box.run(f"rm -r {STATE.packs}/one")


def test_a_folder_that_is_a_link_stops_setup_with_a_sentence(box: SystemdContainer) -> None:
    box.run(f"rmdir {STATE.usb} && ln -s /etc {STATE.usb}")
    output = box.run(
        "systemctl restart lantern-setup.service; journalctl -u lantern-setup.service -o cat -n 20", check=False
    )
    box.run(f"rm {STATE.usb} && systemctl restart lantern-setup.service && test -d {STATE.usb}")
    assert f"setup.folder_strange: {STATE.usb} is a link" in output
    assert box.run("stat -c %G /etc") == "root"


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


def test_a_line_that_is_switched_off_has_no_process(box: SystemdContainer) -> None:
    unit, config = "lantern-uplink.service", box.read("/etc/lantern/lantern.toml")
    box.run(f"systemctl stop {unit}")
    box.write("/etc/lantern/lantern.toml", config.replace("enabled = true", "enabled = false"))
    box.run(f"systemctl restart lantern-setup.service && systemctl start {unit}")
    assert box.show(unit, "ActiveState") == "inactive"
    box.write("/etc/lantern/lantern.toml", config)
    box.run(f"systemctl restart lantern-setup.service && systemctl start {unit}")
    box.wait_active(unit)


def test_a_damaged_database_is_mended_though_most_units_may_not_see_what_that_takes(box: SystemdContainer) -> None:
    kept = STATE.clinical_db.parent / "damaged" / "1" / "report.json"
    # What the log holds would hide the damage of the file.
    checkpoint = f"import sqlite3; sqlite3.connect('{STATE.clinical_db}').execute('PRAGMA wal_checkpoint(TRUNCATE)')"
    box.run(f'python3 -c "{checkpoint}"')
    box.run(f"dd if=/dev/urandom of={STATE.clinical_db} bs=4096 seek=1 count=8 conv=notrunc")
    box.run("lantern doctor", check=False, timeout=100)  # somebody looks, and it is noted
    box.wait("the database to be rebuilt", lambda: box.run(f"test -e {kept} && echo yes", check=False) == "yes", 120)
    for unit in PROCESSES:
        box.wait_active(unit, 120)
    assert box.run(f"stat -c '%U %G %a' {STATE.clinical_db}") == "lantern-gateway lantern-clinical 660"
    box.wait("the doctor to find it whole", lambda: "is damaged" not in box.run("lantern doctor", check=False))


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


# Stops these threads and no other (ptrace(2), PTRACE_SEIZE and PTRACE_INTERRUPT), as a deadlock would.
FREEZE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
for thread in sys.argv[1:]:
    for request in (0x4206, 0x4207):
        assert libc.ptrace(request, int(thread), None, None) == 0, os.strerror(ctypes.get_errno())
print("frozen", flush=True)
try:
    while True:
        os.waitpid(-1, 0x40000000)  # __WALL; their process is not reaped before their end was heard here
except ChildProcessError:
    pass
"""
# How threads wait for connections: epoll_wait, epoll_pwait; select, pselect6, poll, ppoll (unistd.h of the machine).
WAITING = {"x86_64": ("232", "281", "23", "270", "7", "271"), "aarch64": ("22", "72", "73")}


def listeners(box: SystemdContainer, unit: str) -> list[str]:
    """The threads of *unit* beside its first that wait for connections."""
    pid = str(box.pid(unit))
    calls = (line.split(":")[:2] for line in box.run(f"cd /proc/{pid}/task && grep '' */syscall").splitlines())
    waiting = WAITING[platform.machine()]
    return [task for name, call in calls if (task := name.split("/")[0]) != pid and call.split()[0] in waiting]


def test_a_process_whose_listening_threads_hang_is_started_again(box: SystemdContainer) -> None:
    """The main loops go round; what they ask after does not: the gateway's accepting thread, the viewer's server."""
    before = {unit: int(box.show(unit, "NRestarts")) for unit in ("lantern-gateway.service", "lantern-viewer.service")}
    box.write("/var/house/freeze.py", FREEZE)
    for number, unit in enumerate(before):
        threads = " ".join(listeners(box, unit))
        box.run(f"systemd-run --quiet --unit freeze{number} python3 /var/house/freeze.py {threads}")
        box.wait("the threads to stand", lambda number=number: "frozen" in box.log(f"freeze{number}"))  # type: ignore[misc]
    for unit, number in before.items():
        box.wait(f"{unit} to be back", lambda unit=unit, number=number: has_restarted(box, unit, number), 60)  # type: ignore[misc]
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


def test_the_results_of_a_film_are_made_by_a_process_that_may_do_so_little(
    box: SystemdContainer, tmp_path: Path
) -> None:
    path = save(tmp_path, "film.dcm", film())
    box.copy(path, Path("/var/house/for-the-pacs.dcm"))
    box.run(f"{peer('storescu')} -aec LANTERN 127.0.0.1 11112 /var/house/for-the-pacs.dcm")
    made = f"stat -c '%U %G %a' {STATE.outgoing}/*/sr-01.dcm"
    box.wait("the report to be made", lambda: "660" in box.run(made, check=False), 90)
    assert box.run(made).splitlines()[0] == "lantern-sender lantern-clinical 660"
    said = box.run("LANTERN_BOX__LANGUAGE=en lantern doctor", check=False, timeout=100)
    assert f"The PACS PACS at {PRIVATE}:104 cannot be reached (Connection refused)" in said


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


@pytest.mark.parametrize("unit", ALOOF)
def test_a_unit_that_needs_no_other_disk_sees_none(box: SystemdContainer, unit: str) -> None:
    """A copy of everything may lie there, and whoever made it may have forgotten to close it."""
    box.run("mkdir -p /mnt/backup /media/disk; echo x | tee /mnt/backup/all.tar.gz > /media/disk/all.tar.gz")
    box.run("chmod 644 /mnt/backup/all.tar.gz /media/disk/all.tar.gz")
    code = READ + "print(opened('/mnt/backup/all.tar.gz'), opened('/media/disk/all.tar.gz'))"
    assert run_attempt(box, unit, code) == "PermissionError PermissionError"
    assert run_attempt(box, "lantern-backup.service", code) == "opened opened", "it may be told to write there"


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


def test_a_copy_of_the_accounts_is_opened_by_those_who_open_the_accounts_and_by_nobody_else(
    box: SystemdContainer,
) -> None:
    box.run("systemctl start lantern-backup.service")
    copies = box.run(f"ls -d {STATE.backup}/*/accounts.db").split()
    assert copies
    code = READ + f"print(*(opened(path) for path in {copies}))"
    box.write("/var/house/copies.py", code)
    for user, answer in (("gateway", "PermissionError"), ("reader", "PermissionError"), ("viewer", "opened")):
        by_user = f"setpriv --reuid lantern-{user} --regid lantern-{user} --init-groups"
        assert set(box.run(f"{by_user} python3 /var/house/copies.py").split()) == {answer}, user
    assert set(run_attempt(box, "lantern-viewer.service", code).split()) == {"opened"}, (
        "a rescue takes accounts from it"
    )
    # As a copy of the whole state that root put back has them.
    box.run(f"chgrp -R lantern-clinical {STATE.backup} && systemctl restart lantern-setup.service")
    assert set(box.run(f"stat -c %G {' '.join(copies)}").split()) == {"lantern-viewer"}


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
    "lantern-reader.service": ["clinical", "display", "exchange", "run"],
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
