"""The hospital's units under a real systemd: made by root, run as a user of their own, each with the keys it needs.

On paper they are held like the box's units, in test_units.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_app.appliance import box_identity
from firmware_app.uplink.messages.envelope import HospitalBundle
from firmware_app.uplink.messages.summary import decode
from tests.faults.systemd_house import SystemdContainer
from tests.peers import need_root, peer

pytestmark = pytest.mark.appliance

SOURCE, FOLDER = "/opt/lantern/source/systemd/hospital", "/var/lib/lantern-hospital"
SERVICES = ("lantern-hospital-broker.service", "lantern-hospital-enrolment.service", "lantern-hospital.service")
TYPED = "/opt/lantern/venv/bin/python -m hospital.cli"


@pytest.fixture(scope="module")
def house() -> Iterator[SystemdContainer]:
    need_root()
    peer("mosquitto")
    with SystemdContainer() as made:
        made.run(
            "ln -s lantern /opt/lantern-hospital &&"
            f" install -m 644 {SOURCE}/*.service /etc/systemd/system &&"
            f" install -D -m 644 {SOURCE}/lantern-hospital.sysusers /etc/sysusers.d/lantern-hospital.conf &&"
            f" install -D -m 644 {SOURCE}/lantern-hospital.tmpfiles /etc/tmpfiles.d/lantern-hospital.conf &&"
            " systemd-sysusers lantern-hospital.conf && systemd-tmpfiles --create lantern-hospital.conf &&"
            " systemctl daemon-reload"
        )
        made.run(f"{TYPED} keys new --host 127.0.0.1")
        made.run(f"systemctl start {' '.join(SERVICES)}")
        made.wait("the receiver to listen", lambda: "Listening to the broker" in made.log(SERVICES[-1]))
        yield made


def test_all_that_root_makes_is_the_hospitals(house: SystemdContainer) -> None:
    assert house.run(f"find {FOLDER} ! -user lantern-hospital -o ! -group lantern-hospital") == ""
    assert house.run(f"stat -c %U:%a {FOLDER} {FOLDER}/keys {FOLDER}/inbox.db").split() == [
        "lantern-hospital:700",
        "lantern-hospital:700",
        "lantern-hospital:600",
    ]


def test_the_broker_reads_its_own_key_and_no_other(house: SystemdContainer) -> None:
    code = f"""
from pathlib import Path
for name in ("tls/broker.key", "tls/ca.key", "keys/sign.pem", "inbox.db"):
    try:
        print(name, len((Path("{FOLDER}") / name).read_bytes()) > 0)
    except OSError as error:
        print(name, type(error).__name__)
"""
    access = dict(line.split() for line in house.attempt(SERVICES[0], code).stdout.splitlines())
    assert access.pop("tls/broker.key") == "True"
    assert set(access.values()) == {"PermissionError"}


def test_a_box_revoked_by_root_is_cut_off_at_the_running_broker(house: SystemdContainer, tmp_path: Path) -> None:
    bundle = tmp_path / "hospital.json"
    bundle.write_text(house.read(f"{FOLDER}/hospital.json"))
    assert decode(bundle.read_bytes().strip(), HospitalBundle).host == "127.0.0.1"
    box_identity.begin_identity(tmp_path / "line", "clinic-7", bundle)
    house.copy(tmp_path / "line" / "box.json", Path("/mnt/box.json"))
    house.run(f"{TYPED} enrol /mnt/box.json")
    answer = json.loads(house.run(f"{TYPED} revoke clinic-7 --json"))
    assert answer == {"box": "clinic-7", "certificates": 1, "broker": "in force"}


def test_the_receiver_may_have_the_broker_read_the_list_again(house: SystemdContainer) -> None:
    code = f"from pathlib import Path; from hospital import broker; print(broker.reread(Path('{FOLDER}/broker')))"
    done = house.attempt(SERVICES[-1], f"import sys; sys.path.insert(0, '/opt/lantern/source'); {code}")
    assert done.stdout.strip() == "True", done.stderr
