"""A new box enrolled over the line, with the hospital's real brokers between them and nothing carried but the label."""

from __future__ import annotations

import secrets
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from firmware_app.appliance import first_start, provisioning_file, provisioning_service, uplink_enrolment
from firmware_app.appliance.first_start import IdentityPaths
from firmware_app.appliance.provisioning_answers import Answers
from firmware_app.appliance.provisioning_file import HospitalProof
from firmware_app.core import run_status
from firmware_app.core.settings import Config, load_config
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.errors import ENROLMENT_PROOF_WRONG
from firmware_app.uplink.exchange.exchange_db import Exchange
from firmware_app.uplink.messages.credentials import load_bundle
from firmware_app.uplink.messages.enrolment import ENROLMENT_TOPIC, EnrolCall, EnrolRequest
from hospital import box_enrolment, broker, certificate_authority, new_boxes
from hospital.box_enrolment import Actor
from hospital.errors import ENROLMENT_AWAITED, LABEL_CODE_USED, LABEL_CODE_WRONG, LABEL_CODES_TRIED
from hospital.hospital_site import HospitalSite
from tests.peers import peer
from tests.refusals import raises_refusal
from tests.wire.line_rig import HospitalRig, run_hospital, wait_for


@dataclass
class NewBox:
    """A box before its enrolment."""

    folder: Path
    config_file: Path
    state: StateDir

    @property
    def config(self) -> Config:
        return load_config(self.config_file, {})

    def line(self) -> str | None:
        exchange = Exchange(self.state.exchange_db)
        try:
            reason = exchange.read_status().reason
            return reason.code if reason else None
        finally:
            exchange.database.close()

    def roots_turn(self) -> int:
        """What `lantern-provision.path` wakes root for."""
        return provisioning_service.main(["--config", str(self.config_file)])


@contextmanager
def county(folder: Path) -> Iterator[HospitalRig]:
    """A hospital with both its brokers and the receiver."""
    with run_hospital(folder, with_receiver=False) as made:
        file, front = made.house.broker / broker.ENROLMENT_CONFIG, f"# front {made.port + 1}"
        file.write_text(file.read_text("utf-8").replace(f"{front}\n", f"{front} 127.0.0.1\n"))
        made.start_process([peer("mosquitto"), "-c", str(file)], folder / "enrolling.log").start()
        made.receiver.start()
        log = made.receiver.log
        wait_for(lambda: "may ask to be enrolled" in log.read_text(), 30, because="the receiver at the second broker")
        wait_for(lambda: is_open(made.port + 1), 30, because="the front")
        yield made


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def label(at: HospitalRig, box: str = "clinic-7") -> new_boxes.PreparedBox:
    rows = [(1, {"box": box, "clinic": "清河卫生院", "language": "en"})]
    return new_boxes.write_provisioning_files(at.house, "l", rows, at.folder / "o", 30)[0]


def new_box(folder: Path) -> NewBox:
    folder.mkdir()
    state = StateDir(folder / "state")
    state.prepare()
    exchange = Exchange(state.exchange_db)
    exchange.create()
    exchange.database.close()
    config_file = folder / "lantern.toml"
    config_file.write_text(f'[state]\ndir = "{state.root}"\n')
    return NewBox(folder, config_file, state)


def by_file(at: HospitalRig, box: NewBox, one: new_boxes.PreparedBox) -> None:
    """What the first page does with the file of a stick and the code of the label."""
    offer = provisioning_file.read_file(one.file)
    places = IdentityPaths.from_config(box.config, box.config_file)
    given = provisioning_file.apply_file(offer, box.config, places, HospitalProof(code=one.code))
    assert given.hospital is not None
    assert uplink_enrolment.request_enrolment(box.state, one.code, given.hospital.host, given.hospital.port)


def uplink(at: HospitalRig, box: NewBox) -> None:
    assert "uplink" in run_status.list_expected_processes(box.config)
    command = [sys.executable, "-m", "firmware_app", "serve", "--only", "uplink", "--config", str(box.config_file)]
    at.start_process(command, box.folder / "uplink.log").start()


def certificates(at: HospitalRig, box: str) -> int:
    return len(certificate_authority.list_issued_certificates(at.house.tls, box, at.house.enrolment_path(box)))


def read_audit(at: HospitalRig) -> list[tuple[str, str, str]]:
    rows = at.inbox.connection.execute("SELECT actor, action, box FROM enrol_audit ORDER BY id")
    return [tuple(row) for row in rows]


@dataclass
class Stranger:
    """A client without a certificate."""

    client: mqtt.Client
    heard: list[tuple[str, bytes]]
    granted: list[list[bool]]

    def turn(self, seconds: float = 1.0) -> None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self.client.loop(0.05)

    def ask(self, token: str, payload: bytes, retain: bool = False) -> None:
        self.client.publish(f"{ENROLMENT_TOPIC}/up/{token}", payload, qos=1, retain=retain)
        self.turn()


def stranger(port: int, token: str, ca: Path) -> Stranger:
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, client_id=token, protocol=MQTTProtocolVersion.MQTTv311, reconnect_on_failure=False
    )
    made = Stranger(client, [], [])
    client.tls_set_context(ssl.create_default_context(cafile=ca))
    client.on_message = lambda _c, _d, message: made.heard.append((message.topic, bytes(message.payload)))
    client.on_subscribe = lambda _c, _d, _m, reasons, _p: made.granted.append(
        [not reason.is_failure for reason in reasons]
    )
    client.connect("127.0.0.1", port)
    made.turn(0.5)
    return made


@pytest.mark.timeout(180)
def test_the_labels_code_typed_at_the_hospital_completes_the_box(tmp_path: Path) -> None:
    with county(tmp_path) as at:
        one, box = label(at), new_box(tmp_path / "box")
        by_file(at, box, one)
        with raises_refusal(ENROLMENT_AWAITED):  # it has not asked yet
            box_enrolment.enrol_by_label_code(at.house, one.code, Actor.CONSOLE)
        uplink(at, box)
        wait_for(lambda: [row.box for row in box_enrolment.list_waiting_boxes(at.inbox)] == ["clinic-7"], 30)
        wait_for(lambda: box.line() == "uplink.enrolling", 30)
        done = subprocess.run(
            [sys.executable, "-m", "hospital.cli", "enrol", "--code", one.code.lower(), "--dir", str(at.house.root)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "clinic-7" in done.stdout
        wait_for(box.state.enrol_answer.exists, 60)
        assert box.roots_turn() == 0
        config = box.config
        assert config.uplink.enabled
        assert config.uplink.tls_cert is not None
        assert not box.state.enrol_call.exists()
        assert one.code.replace("-", "").encode() not in b"".join(
            file.read_bytes() for file in box.state.line_keys.iterdir()
        )
        assert [event.action for event in uplink_enrolment.list_events(box.state)] == [
            "enrolment.asked",
            "enrolment.taken",
        ]
        actions = [action for _, action, _ in read_audit(at)]
        assert actions == ["refused hospital.enrol_awaited", "asked", "enrolled"]
        with raises_refusal(LABEL_CODE_USED):
            box_enrolment.enrol_by_label_code(at.house, one.code, Actor.PAGE)
        at.others[-1].stop()
        uplink(at, box)
        wait_for(lambda: box.line() == "uplink.open", 30)  # the line itself, with that certificate


@pytest.mark.timeout(180)
def test_a_box_that_knows_only_the_brokers_address_is_enrolled_by_the_code_without_systemd_too(tmp_path: Path) -> None:
    with county(tmp_path) as at:
        one, box = label(at), new_box(tmp_path / "box")
        box.config_file.write_text(
            f'[state]\ndir = "{box.state.root}"\n[viewer]\nhost = "127.0.0.1"\nport = 0\n'
            f'[dicom]\nhost = "127.0.0.1"\nport = 0\n[packs]\ndir = "{tmp_path / "none"}"\n'
        )
        places = IdentityPaths.from_config(box.config, box.config_file)
        answers = Answers("clinic-7", "清河卫生院", "en", "Asia/Shanghai", "LANTERN")
        first_start.apply_answers(answers, None, box.config, places)
        wrong = "2222-2222-2222"
        assert uplink_enrolment.request_enrolment(box.state, wrong, "127.0.0.1", at.port)
        asked = load_bundle(box.state.enrol_call, EnrolCall).request
        outcome = box_enrolment.receive_request(at.house, at.inbox, "0" * 32, asked.encode())
        assert outcome is box_enrolment.RequestOutcome.STRANGE
        address = uplink_enrolment.parse_broker(f"127.0.0.1:{at.port}")
        assert uplink_enrolment.request_enrolment(box.state, one.code, *address)
        command = [sys.executable, "-m", "firmware_app", "serve", "--config", str(box.config_file)]
        at.start_process(command, box.folder / "serve.log").start()
        wait_for(lambda: bool(box_enrolment.list_waiting_boxes(at.inbox)), 60)
        box_enrolment.enrol_by_label_code(at.house, one.code, Actor.PAGE)
        wait_for(lambda: box.config.uplink.enabled, 60, because="the certificate")
        wait_for(lambda: box.line() == "uplink.open", 60, because="the line, with that certificate")
        assert box.config.uplink.host == "127.0.0.1"
        assert not box.state.enrol_call.exists()


@pytest.mark.timeout(180)
def test_a_repeated_request_gets_the_same_answer_and_no_second_certificate(tmp_path: Path) -> None:
    with county(tmp_path) as at:
        one, box = label(at), new_box(tmp_path / "box")
        by_file(at, box, one)
        asked = load_bundle(box.state.enrol_call, EnrolCall).request
        first, second = secrets.token_hex(16), secrets.token_hex(16)
        ca = at.house.tls / "ca.crt"
        there = stranger(at.port + 1, first, ca)
        there.client.subscribe(f"{ENROLMENT_TOPIC}/down/{first}", qos=1)
        there.ask(first, asked.encode())
        wait_for(lambda: bool(box_enrolment.list_waiting_boxes(at.inbox)), 10)
        box_enrolment.enrol_by_label_code(at.house, one.code, Actor.PAGE)
        there.turn(3.0)
        (topic, answer), *_ = there.heard
        assert topic.endswith(first)
        again = stranger(at.port + 1, second, ca)  # who has recorded the request
        again.client.subscribe(f"{ENROLMENT_TOPIC}/down/{second}", qos=1)
        again.ask(second, asked.encode())
        again.turn(3.0)
        assert [payload for _, payload in again.heard] == [answer]
        assert certificates(at, "clinic-7") == 1
        made, _ = EnrolRequest.create(asked.box, one.code)  # another request, even with the right code
        again.ask(second, made.encode())
        again.turn(2.0)
        assert len(again.heard) == 1
        assert box_enrolment.list_waiting_boxes(at.inbox) == []
        box.state.enrol_answer.write_bytes(answer.replace(b'"serial":1', b'"serial":2'))
        assert box.roots_turn() == 1  # changed on the way
        assert not box.config.uplink.enabled
        assert uplink_enrolment.list_events(box.state)[-1].details == {"code": ENROLMENT_PROOF_WRONG.code}
        box.state.enrol_answer.write_bytes(answer)
        assert box.roots_turn() == 0


@pytest.mark.timeout(180)
def test_a_stranger_at_the_second_broker_reads_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    with county(tmp_path) as at:
        ca, token = at.house.tls / "ca.crt", secrets.token_hex(16)
        label(at)
        there = stranger(at.port + 1, token, ca)
        other = secrets.token_hex(16)
        topics = (
            f"{ENROLMENT_TOPIC}/up/+",
            f"{ENROLMENT_TOPIC}/down/+",
            f"{ENROLMENT_TOPIC}/down/{other}",
            "#",
            "$SYS/#",
            "lantern/v1/up/#",
        )
        for topic in topics:
            there.client.subscribe(topic, qos=1)
            there.turn(0.2)
        box = new_box(tmp_path / "box")
        by_file(at, box, label(at))
        asker = stranger(at.port + 1, other, ca)
        asker.ask(other, load_bundle(box.state.enrol_call, EnrolCall).request.encode())
        wait_for(lambda: bool(box_enrolment.list_waiting_boxes(at.inbox)), 10)
        there.ask(other, b"in another's name")
        there.ask(token, b"no request", retain=True)
        there.client.publish("lantern/v1/up/clinic-7/alert", b"a stranger's", qos=1)
        there.turn()
        assert there.heard == []
        late = stranger(at.port + 1, secrets.token_hex(16), ca)
        late.client.subscribe("#", qos=1)
        late.turn(1.0)
        assert late.heard == []
        wild = stranger(at.port + 1, "+", ca)
        wild.client.subscribe(f"{ENROLMENT_TOPIC}/up/+", qos=1)
        asker.ask(other, load_bundle(box.state.enrol_call, EnrolCall).request.encode())
        wild.turn(1.0)
        assert wild.heard == []
        assert [row.box for row in box_enrolment.list_waiting_boxes(at.inbox)] == ["clinic-7"]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("addresses", [1, 40])
def test_idle_clients_shut_no_box_out_whether_from_its_own_address_or_from_many(tmp_path: Path, addresses: int) -> None:
    """218 that only shook hands were more than mosquitto's limit, and shut the port for everybody."""
    with county(tmp_path) as at, ExitStack() as idle:
        context = ssl.create_default_context(cafile=at.house.tls / "ca.crt")
        for number in range(218):
            line = socket.create_connection(
                ("127.0.0.1", at.port + 1), 20, source_address=(f"127.0.0.{1 + number % addresses}", 0)
            )
            idle.callback(line.close)
            with suppress(OSError):  # an earlier one has given way meanwhile
                idle.callback(context.wrap_socket(line, server_hostname="127.0.0.1").close)
        one, box = label(at), new_box(tmp_path / "box")
        by_file(at, box, one)
        uplink(at, box)
        wait_for(lambda: [row.box for row in box_enrolment.list_waiting_boxes(at.inbox)] == ["clinic-7"], 60)
        box_enrolment.enrol_by_label_code(at.house, one.code, Actor.CONSOLE)
        wait_for(box.state.enrol_answer.exists, 60)


def test_wrong_codes_run_out_for_their_source_alone_and_a_right_one_does_not_count(tmp_path: Path) -> None:
    house = HospitalSite(tmp_path / "hospital")
    house.set_up("127.0.0.1", 8883)
    one = new_boxes.write_provisioning_files(house, "l", [(1, {"box": "clinic-7", "clinic": "Q"})], tmp_path / "o", 30)[
        0
    ]
    for code in ("2222-2222-2222", "", "清河", "3" * 12, "4" * 12):
        with raises_refusal(ENROLMENT_AWAITED):
            box_enrolment.enrol_by_label_code(house, one.code, Actor.PAGE, "192.0.2.1")
        with raises_refusal(LABEL_CODE_WRONG):
            box_enrolment.enrol_by_label_code(house, code, Actor.PAGE, "192.0.2.1")
    for code in (one.code, "5" * 12):
        with raises_refusal(LABEL_CODES_TRIED):
            box_enrolment.enrol_by_label_code(house, code, Actor.PAGE, "192.0.2.1")
    with raises_refusal(ENROLMENT_AWAITED):  # which says that the code is right
        box_enrolment.enrol_by_label_code(house, one.code, Actor.PAGE, "192.0.2.2")
    for _ in range(7):  # who sits at the console reads the keys, and guesses nothing
        with raises_refusal(LABEL_CODE_WRONG):
            box_enrolment.enrol_by_label_code(house, "5" * 12, Actor.CONSOLE)
    with raises_refusal(ENROLMENT_AWAITED):
        box_enrolment.enrol_by_label_code(house, one.code, Actor.CONSOLE)
