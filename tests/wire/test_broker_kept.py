"""The broker that a person starts by hand: started again when it ends or hangs, and reloaded no more than needed."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hospital import broker, supervisor
from hospital.hospital_site import HospitalSite
from tests.peers import peer
from tests.wire.line_rig import ManagedProcess, free_port, wait_for


@pytest.fixture
def house(tmp_path: Path) -> HospitalSite:
    peer("mosquitto")
    made = HospitalSite(tmp_path / "hospital")
    made.set_up("127.0.0.1", free_port())
    config = made.broker / broker.ENROLMENT_CONFIG
    lines = config.read_text().splitlines(keepends=True)
    config.write_text("".join(f"listener {free_port()}\n" if line.startswith("listener") else line for line in lines))
    return made


@pytest.fixture
def keeper(house: HospitalSite, tmp_path: Path) -> Iterator[ManagedProcess]:
    command = [sys.executable, "-m", "hospital.cli", "broker", "--run", "--dir", str(house.root)]
    made = ManagedProcess(command, tmp_path / "keeper.log").start()
    yield made
    made.stop()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
    except OSError:
        return False
    return True


def running(house: HospitalSite, other_than: int | None = None) -> int | None:
    number = broker.find_broker_process(house.broker)
    return number if number != other_than and answers(house.load_bundle().port) else None


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL])
def test_a_mosquitto_that_dies_is_started_again(
    house: HospitalSite, keeper: ManagedProcess, number: signal.Signals
) -> None:
    wait_for(lambda: running(house) is not None, because="mosquitto")
    first = broker.find_broker_process(house.broker)
    assert first is not None
    os.kill(first, number)  # as of “free(): invalid pointer” at a reload
    wait_for(lambda: running(house, first) is not None, because="another mosquitto")
    assert keeper.alive()


def test_a_mosquitto_that_hangs_is_replaced(house: HospitalSite, monkeypatch: pytest.MonkeyPatch) -> None:
    port = house.load_bundle().port
    config = house.broker / "mosquitto.conf"
    kept = supervisor.SupervisedBroker(
        "the broker", [peer("mosquitto"), "-c", str(config)], patience=0.5, start_s=0.5, port=port
    )
    monkeypatch.setattr(supervisor, "_ANSWER_S", 1.0)
    kept.start()
    assert kept.process is not None
    try:
        wait_for(lambda: answers(port), because="mosquitto")
        began = kept.started
        assert not any(kept.is_hung(began + second) for second in range(1, 2))
        kept.process.send_signal(signal.SIGSTOP)
        kept.is_hung(began + 2)
        assert any(kept.is_hung(began + second) for second in range(3, 6))
    finally:
        kept.process.kill()
        kept.process.wait()


def test_a_keeper_that_is_killed_takes_its_broker_along(house: HospitalSite, keeper: ManagedProcess) -> None:
    wait_for(lambda: running(house) is not None, because="mosquitto")
    keeper.kill()
    wait_for(lambda: broker.find_broker_process(house.broker) is None, because="it ends with its keeper")
