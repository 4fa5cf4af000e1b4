"""Who is let in, and that those who are not, or who misbehave, hinder nobody."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from struct import pack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_app.dicom.scp import association_slots
from tests.objects import EXPLICIT, IMPLICIT, film, new_uid
from tests.wire.gateways import Running, running
from tests.wire.raw import VERIFICATION, Closed, RawClient, Refused, association_request, connect_from

CT = "1.2.840.10008.5.1.4.1.1.2"
STORE = [(CT, [EXPLICIT])]


def store_one(port: int, connection: socket.socket | None = None) -> float:
    """Store one image and release; the seconds that it took."""
    before = time.monotonic()
    instance = new_uid()
    with RawClient(port, STORE, connection=connection) as client:
        assert client.store(CT, instance, film(sop_class=CT, sop_instance=instance)).status == 0
        client.release()
    return time.monotonic() - before


def closed_within(connection: socket.socket, seconds: float) -> bool:
    """Whether the other side ends the connection in time, whatever it says before."""
    deadline = time.monotonic() + seconds
    try:
        while (remaining := deadline - time.monotonic()) > 0:
            connection.settimeout(remaining)
            if not connection.recv(65536):
                return True
    except TimeoutError:
        return False
    except OSError:
        return True
    return False


# --- lists --------------------------------------------------------------------------------------------------------


def test_an_unknown_calling_ae_is_rejected_for_that_reason(tmp_path: Path) -> None:
    with running(tmp_path, dicom={"allowed_calling": ["XRAY1"]}) as gateway:
        with pytest.raises(Refused) as refused:
            RawClient(gateway.port, calling="XRAY2")
        assert refused.value.args == (1, 1, 3)
        with RawClient(gateway.port, calling="XRAY1") as client:
            client.release()


def test_an_address_outside_the_allowed_networks_is_rejected(tmp_path: Path) -> None:
    with running(tmp_path / "a", dicom={"allowed_addresses": ["10.0.0.0/8", "2001:db8::/32"]}) as gateway:
        with pytest.raises(Refused) as refused:
            RawClient(gateway.port)
        assert refused.value.args == (1, 1, 1)
    with (
        running(tmp_path / "b", dicom={"allowed_addresses": ["127.0.0.0/8"]}) as gateway,
        RawClient(gateway.port) as client,
    ):
        client.release()


@contextmanager
def sending(clients: Sequence[RawClient]) -> Iterator[list[int]]:
    """*clients* send one image after the other; their statuses."""
    over = threading.Event()
    statuses: list[int] = []

    def send_on(client: RawClient) -> None:
        while not over.is_set():
            instance = new_uid()
            image = film(sop_class=CT, sop_instance=instance, rows=256, columns=256)
            statuses.append(client.store(CT, instance, image).status)
        client.release()

    senders = [threading.Thread(target=send_on, args=(client,)) for client in clients]
    for sender in senders:
        sender.start()
    try:
        yield statuses
    finally:
        over.set()
        for sender in senders:
            sender.join()


def connect_all(gateway: Running, stack: ExitStack, *addresses: str) -> list[RawClient]:
    """An association from each of *addresses*."""
    return [
        stack.enter_context(RawClient(0, STORE, connection=connect_from(address, gateway.port)))
        for address in addresses
    ]


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(association_slots, "_WAIT_S", 0.6)
    monkeypatch.setattr(association_slots, "_SILENT_S", 0.3)


@pytest.mark.usefixtures("short_waits")
def test_one_association_too_many_is_told_to_come_again(tmp_path: Path) -> None:
    with running(tmp_path, dicom={"max_associations": 2}) as gateway, ExitStack() as stack:
        clients = connect_all(gateway, stack, "127.0.0.2", "127.0.0.3")
        with sending(clients) as statuses, pytest.raises(Refused) as answer:
            RawClient(gateway.port)
        assert answer.value.args == (2, 3, 2)
        assert set(statuses) == {0}
        with RawClient(gateway.port) as client:
            client.release()


# --- silence ------------------------------------------------------------------------------------------------------


def test_a_silent_association_is_aborted_after_the_idle_limit(tmp_path: Path) -> None:
    with running(tmp_path, dicom={"idle_seconds": 0.3}) as gateway, RawClient(gateway.port) as client:
        assert closed_within(client.socket, 5)


# --- broken protocol ----------------------------------------------------------------------------------------------


def test_a_pdu_longer_than_agreed_is_aborted_before_it_is_read(gateway: Running) -> None:
    with RawClient(gateway.port, STORE) as client:
        client.socket.sendall(pack(">BxL", 4, 131073) + bytes(100))
        kind, content = client.read()
        assert (kind, content[2]) == (7, 2)  # A-ABORT by the service provider
        assert closed_within(client.socket, 5)


@pytest.mark.parametrize(
    "pdu",
    [
        pack(">BxLLBB", 4, 6, 100, 1, 3),  # a fragment longer than its PDU
        pack(">BxLLBB", 4, 6, 2, 1, 0),  # data without a command
        pack(">BxLLBB", 4, 26, 22, 1, 3) + b"\x08\x00" + bytes(18),  # a command that is none
    ],
)
def test_a_message_that_breaks_the_rules_is_aborted(gateway: Running, pdu: bytes) -> None:
    with RawClient(gateway.port, STORE) as client:
        client.socket.sendall(pdu)
        assert client.read()[0] == 7
        assert closed_within(client.socket, 5)
    assert store_one(gateway.port) < 5


_REQUEST = association_request([(CT, [EXPLICIT, IMPLICIT]), (VERIFICATION, [IMPLICIT])])


@pytest.fixture(scope="module")
def long_lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("fuzzed")) as gateway:
        yield gateway


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(6, len(_REQUEST) - 1), st.integers(0, 255)), min_size=1, max_size=12))
def test_no_damaged_request_stops_the_gateway(long_lived: Running, damage: list[tuple[int, int]]) -> None:
    request = bytearray(_REQUEST)
    for position, value in damage:
        request[position] = value
    with socket.create_connection(("127.0.0.1", long_lived.port), 10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        assert closed_within(connection, 10)
    with RawClient(long_lived.port) as client:
        client.release()


# --- TLS ----------------------------------------------------------------------------------------------------------


def client_tls(cert: Path, *, own: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(cert))
    if own is not None:
        context.load_cert_chain(*own)
    return context


def test_images_come_over_tls(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    with running(tmp_path, dicom={"tls_cert": cert, "tls_key": key}) as gateway:
        plain = socket.create_connection(("127.0.0.1", gateway.port), 10)
        with client_tls(cert).wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            store_one(gateway.port, connection)
        assert len(gateway.files()) == 1


def test_a_client_without_the_asked_certificate_is_not_served(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    with running(tmp_path, dicom={"tls_cert": cert, "tls_key": key, "tls_ca": cert}) as gateway:
        stranger = socket.create_connection(("127.0.0.1", gateway.port), 10)
        with (
            pytest.raises((Closed, OSError)),
            client_tls(cert).wrap_socket(stranger, server_hostname="127.0.0.1") as connection,
        ):
            store_one(gateway.port, connection)
        known = socket.create_connection(("127.0.0.1", gateway.port), 10)
        with client_tls(cert, own=(cert, key)).wrap_socket(known, server_hostname="127.0.0.1") as connection:
            store_one(gateway.port, connection)


# --- what is said -------------------------------------------------------------------------------------------------


def test_no_name_and_no_uid_is_logged(gateway: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    instance = new_uid()
    with RawClient(gateway.port, STORE) as client:
        client.store(CT, instance, film(sop_class=CT, sop_instance=instance))
        client.store(CT, instance, os.urandom(300))
        client.release()
    gateway.clinical.database.close_thread()
    assert instance not in caplog.text
    assert CT not in caplog.text
