"""The TLS front: what stalls it, whom it is believed, and what it tells of a browser."""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest

from firmware_app.appliance import certificate_authority
from firmware_app.appliance.certificate_authority import PageNames
from firmware_app.cases.accounts import Accounts, Role
from tests.wire.front_rig import NAME, Front, running

pytestmark = pytest.mark.alone

STALLED = 40
ANSWERS_WITHIN_S = 1.0
HANGS_UP_WITHIN_S = 20.0


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    with running(tmp_path) as running_front:
        yield running_front
        written = running_front.log.read_text("utf-8")
    assert "[warn]" not in written, written
    assert "[alert]" not in written, written


def code(front: Front, name: str, role: Role = Role.DOCTOR) -> str:
    accounts = Accounts(front.state.accounts_db)
    try:
        return accounts.add(name, role)
    finally:
        accounts.database.close()


def greeting() -> bytes:
    """What a browser sends first: a whole ClientHello (RFC 8446 4.1.2)."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    half = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        half.do_handshake()
    return outgoing.read()


def seconds_to_answer(front: Front) -> float:
    """How long a browser waits that comes now: TCP, TLS and a page.

    The best of five, for this machine may be busy with other things; a front that stalls stalls each of them.
    """
    taken = []
    for _ in range(5):
        begun = time.monotonic()
        assert front.browser().ask("GET", "/healthz")[0] == 200
        taken.append(time.monotonic() - begun)
    return min(taken)


def test_forty_half_open_handshakes_leave_the_page_answering_within_a_second(front: Front) -> None:
    hello = greeting()
    stalled = [socket.create_connection(("127.0.0.1", front.https), 5) for _ in range(STALLED)]
    try:
        for number, connection in enumerate(stalled):
            connection.sendall(hello[: number * len(hello) // STALLED])  # from nothing at all to nearly everything
        assert seconds_to_answer(front) < ANSWERS_WITHIN_S
        _await_hang_up(stalled)
    finally:
        for connection in stalled:
            connection.close()


def _await_hang_up(connections: list[socket.socket] | list[ssl.SSLSocket]) -> None:
    """Each is closed by the front, and none is kept for good."""
    deadline = time.monotonic() + HANGS_UP_WITHIN_S
    for connection in connections:
        connection.settimeout(max(0.1, deadline - time.monotonic()))
        try:
            while connection.recv(4096):
                pass
        except ConnectionResetError:
            continue


def test_a_device_that_trusts_the_authority_needs_no_exception(front: Front) -> None:
    plain = http.client.HTTPConnection("127.0.0.1", front.http, timeout=10)
    plain.request("GET", "/lantern-ca.crt")
    answer = plain.getresponse()
    given = answer.read()
    plain.close()
    assert answer.headers["Content-Type"] == "application/x-x509-ca-cert"
    shown = certificate_authority.read_authority_fingerprint(front.state)
    assert shown == hashlib.sha256(ssl.PEM_cert_to_DER_cert(given.decode())).digest().hex(":").upper()
    for name in (NAME, "127.0.0.1"):
        assert front.browser(name=name).ask("GET", "/login")[0] == 200


def test_cookies_given_over_tls_never_travel_without_it(front: Front) -> None:
    browser = front.browser()
    browser.log_in(code(front, "li"))
    assert len(browser.set_cookies) == 3  # log-in, session, and the browser that the account is known in
    assert all("Secure" in cookie for cookie in browser.set_cookies)
    assert browser.ask("GET", "/")[0] == 200


def test_who_goes_round_the_front_is_not_believed(front: Front) -> None:
    """Only 127.0.0.1 is the front; another address of this machine stands for another machine."""
    direct = http.client.HTTPConnection("127.0.0.1", front.viewer, timeout=10, source_address=("127.0.0.9", 0))
    direct.request("GET", "/claim", headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "6.6.6.6"})
    answer = direct.getresponse()
    page = answer.read().decode()
    cookie = (answer.headers["Set-Cookie"] or "").partition(";")[0]
    assert "Secure" not in (answer.headers["Set-Cookie"] or "")
    token = page.partition('name="csrf_token" value="')[2].partition('"')[0]
    direct.request(
        "POST",
        "/login",
        f"csrf_token={token}&name=li&password=x",
        {"X-Forwarded-For": "6.6.6.6", "Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"},
    )
    assert direct.getresponse().status == 401
    direct.close()
    [entry] = front.audit.latest(1)
    assert entry.details["address"] == "127.0.0.9"


def test_a_renewed_certificate_is_used_at_the_next_handshake(front: Front) -> None:
    more = PageNames((NAME, "lantern-new.local"), (ip_address("127.0.0.1"),))
    with pytest.raises(ssl.SSLCertVerificationError):
        front.browser(name="lantern-new.local").connect()
    assert certificate_authority.prepare_certificates(front.state, more, datetime.now(UTC))
    front.browser(name="lantern-new.local").connect().close()
