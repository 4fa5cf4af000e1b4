"""A whole line on this machine: a hospital's folder, a mosquitto with TLS and ACL, a provisioned box, and the processes
between them, each started as a person would."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_app.appliance import box_identity
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.records import Finding, Header, PackIdentity, Priority, Reading, ReadingStatus, Scope, Timing
from firmware_app.core.settings import Config, describe_config
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.exchange.exchange_db import Exchange
from firmware_app.uplink.messages import credentials
from firmware_app.uplink.outbox import Outbox
from firmware_app.uplink.relay import Relay
from hospital.hospital_site import HospitalSite
from hospital.inbox.inbox_db import Inbox
from tests.peers import peer

HEADER = Header("1.2.840.10008.5.1.4.1.1.1", "1.2.3.1", "1.2.3", "1.2.3.9", "1.2.840.10008.1.2", modality="CR")
PACK = PackIdentity("chest-xray-child", "1.0.0", "onnxruntime", "int8")


def wait_for(what: Callable[[], bool], seconds: float = 20.0, because: str = "") -> float:
    """Return the seconds it took until *what* is true; fails after *seconds*."""
    begun = time.monotonic()
    while not what():
        assert time.monotonic() - begun < seconds, f"not within {seconds} s: {because or what}"
        time.sleep(0.02)
    return time.monotonic() - begun


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def find_hospital_port() -> int:
    """A port of the line's broker with two free ones behind it, for the enrolment's front and its broker.

    They lie below those that the kernel gives to clients, any of which could hold one of the two.
    """
    while True:
        port = random.randrange(15_000, 32_000)
        with ExitStack() as listeners, suppress(OSError):
            for neighbour in range(port, port + 3):
                listeners.enter_context(socket.create_server(("127.0.0.1", neighbour)))
            return port


@dataclass
class ManagedProcess:
    """A process that can be killed and started again; its stderr goes to a log file that outlives it."""

    command: list[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> ManagedProcess:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env={**os.environ, **self.environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass
class Box:
    """A provisioned box with its state; `add_image` makes a case in it as the reader would."""

    folder: Path
    name: str
    config_file: Path
    clinical: ClinicalDatabase
    exchange: Exchange

    @property
    def config(self) -> Config:
        from firmware_app.core.settings import load_config

        return load_config(self.config_file, {})

    @property
    def identity(self) -> Ed25519PrivateKey:
        return credentials.load_identity(self.config.uplink)

    def relay(self, budget_bytes: int = 32_000_000) -> Relay:
        hospital = credentials.load_hospital(self.config.uplink)
        return Relay(self.clinical, self.exchange, self.name, hospital, budget_bytes)

    def add_image(self, number: int, priority: Priority = Priority.ROUTINE, **header: str) -> str:
        """One image of study *number*, read; returns its case."""
        return make_case(self.clinical, number, priority, 0, **header)

    def list_closed_revisions(self) -> set[tuple[str, int]]:
        """Every case revision that this box has ever closed."""
        rows = self.clinical.database.connection.execute("SELECT reference, revision FROM cases")
        return {(row[0], number) for row in rows for number in range(1, row[1] + 1)}

    def close(self) -> None:
        self.clinical.database.close()
        self.exchange.database.close()


def make_case(clinical: ClinicalDatabase, number: int, priority: Priority, image: int = 0, **header: str) -> str:
    """Image *image* of study *number*, accepted, read and closed, unless it already is; returns the case."""
    asked = replace(HEADER, sop_instance_uid=f"1.2.3.{number}.{image}", study_instance_uid=f"1.2.3.{number}")
    instance = clinical.admit(
        path="dicom:CR1",
        file=f"images/{number}",
        sha256=f"{number:060d}{image:04d}",
        size=9,
        header=replace(asked, **header),  # type: ignore[arg-type]
        association=None,
    )
    while claim := clinical.claim():
        findings = (Finding("pneumonia", {"en": "Pneumonia"}, 0.93, 0.5),)
        reading = Reading(
            Scope.INSTANCE, (claim.instance.reference,), ReadingStatus.READ, None, PACK, Timing(1, 5, 9), findings
        )
        clinical.finish(claim.instance, reading, priority)
    clinical.close_revisions(-1, report=Outbox(clinical.database).put)
    return instance.case


@dataclass
class HospitalRig:
    """Hospital and broker."""

    folder: Path
    house: HospitalSite
    port: int
    broker: ManagedProcess
    receiver: ManagedProcess
    inbox: Inbox
    others: list[ManagedProcess] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    """Their databases are closed at the end if the test has not done so."""

    def start_process(self, command: list[str], log: Path, **environment: str) -> ManagedProcess:
        """A further process, killed at the end if the test has not ended it."""
        self.others.append(ManagedProcess(command, log, environment))
        return self.others[-1]

    def start_broker(self) -> None:
        self.broker.start()
        wait_for(self._answers, because="mosquitto")

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.5).close()
        except OSError:
            return False
        return True

    def list_revisions(self) -> list[tuple[str, int]]:
        """Every case revision the hospital has, in the order in which they came."""
        return [(row.case, row.revision) for row in self.inbox.list_cases()]

    def list_quarantine_codes(self) -> list[str]:
        """Why messages were kept aside, oldest first."""
        return [row["code"] for row in reversed(self.inbox.list_aside(10_000))]

    def box(self, name: str, **uplink: object) -> Box:
        """A box, provisioned and enrolled by the two steps of `lantern provision`."""
        folder = self.folder / name
        state = StateDir(folder / "state")
        state.prepare()
        box_identity.begin_identity(state.line_keys, name, self.house.bundle_file)
        _, enrolment = self.house.enrol(state.line_keys / "box.json")
        box_identity.complete_identity(state.line_keys, enrolment)
        tree: dict[str, Any] = {"state": {"dir": str(state.root)}, **box_identity.make_settings(state.line_keys)}
        tree["uplink"].update(uplink)
        config_file = folder / "lantern.toml"
        config_file.write_text(describe_config(Config.model_validate(tree)), "utf-8")
        clinical, exchange = ClinicalDatabase(state.clinical_db), Exchange(state.exchange_db)
        clinical.create()
        exchange.create()
        self.boxes.append(Box(folder, name, config_file, clinical, exchange))
        return self.boxes[-1]

    def uplink(self, box: Box, **environment: str) -> ManagedProcess:
        command = [sys.executable, "-m", "firmware_app", "serve", "--only", "uplink", "--config"]
        return self.start_process([*command, str(box.config_file)], box.folder / "uplink.log", **environment)

    def reader(self, box: Box, cases: int, seed: int, **environment: str) -> ManagedProcess:
        """A process that makes cases and relays them, in the place of the reader."""
        command = [sys.executable, "-m", "tests.wire.line_reader", str(box.config_file), str(cases), str(seed)]
        return self.start_process(command, box.folder / "reader.log", **environment)


@contextmanager
def run_hospital(
    folder: Path, *, tls: bool = True, extra: str = "", with_receiver: bool = True
) -> Iterator[HospitalRig]:
    """A hospital with a running broker and, *with_receiver*, its running receiver."""
    mosquitto = peer("mosquitto")
    port = find_hospital_port()
    house = HospitalSite(folder / "hospital")
    house.set_up("127.0.0.1", port)
    config = (house.broker / "mosquitto.conf").read_text("utf-8")
    if not tls:
        config = f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nmax_inflight_messages 200\n"
    local = folder / "mosquitto.conf"
    local.write_text(config.replace(f"listener {port}\n", f"listener {port} 127.0.0.1\n") + extra)
    broker = ManagedProcess([mosquitto, "-c", str(local)], folder / "broker.log")
    command = [sys.executable, "-m", "hospital.cli", "serve", "--dir", str(house.root), "--page-port", "0", "--json"]
    receiver = ManagedProcess(command + ([] if tls else ["--plain"]), folder / "receiver.log")
    made = HospitalRig(folder, house, port, broker, receiver, Inbox(house.inbox_db))
    made.start_broker()
    try:
        if with_receiver:
            receiver.start()
            wait_for(lambda: '"listening"' in receiver.log.read_text(), because="lantern-hospital serve")
        yield made
    finally:
        for other in made.others:
            other.kill()
        for box in made.boxes:
            box.close()
        receiver.stop()
        broker.stop()
        made.inbox.close()


def events(log: Path) -> list[dict[str, Any]]:
    """The JSON lines in a process's output."""
    return [json.loads(line) for line in log.read_text("utf-8").splitlines() if line.startswith("{")]
