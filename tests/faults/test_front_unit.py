"""The TLS front as systemd runs it: it serves the page, and the kernel keeps everything else from it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.systemd_house import SystemdContainer
from tests.peers import peer

pytestmark = pytest.mark.appliance

CONFIG = """
[box]
id = "clinic-7"
[viewer]
host = "127.0.0.1"
port = 8080
behind_front = true
[dicom]
port = 11112
[dicomweb]
enabled = true
client_ca = "/etc/lantern/clients/ca.pem"
"""
MADE = """
from pathlib import Path
from tests.wire.certificates import Authority
Authority(Path("/etc/lantern/clients")).issue("county")
"""
SENT = """
import http.client, ssl, sys
from tests.peers import pydicom_file
context = ssl.create_default_context(cafile="/var/lib/lantern/front/lantern-ca.crt")
if sys.argv[1:]:
    context.load_cert_chain(sys.argv[1])
connection = http.client.HTTPSConnection("localhost", context=context, timeout=20)
body = pydicom_file("CT_small.dcm").read_bytes()
connection.request("POST", "/dicom-web/studies", body, {"Content-Type": "application/dicom"})
print(connection.getresponse().status)
"""
ASK = """
import ssl, urllib.request
context = ssl.create_default_context(cafile="/var/lib/lantern/front/lantern-ca.crt")
print(urllib.request.urlopen("https://localhost/healthz", timeout=10, context=context).read().decode())
"""


@pytest.fixture(scope="module")
def house() -> Iterator[SystemdContainer]:
    peer("nginx")
    with SystemdContainer() as house_:
        house_.install(CONFIG)
        house_.run("mkdir /opt/lantern/share && cp -t /opt/lantern/share /opt/lantern/source/systemd/*.in")
        run_in_source(house_, MADE)
        house_.run("systemctl start lantern-viewer lantern-gateway lantern-web", timeout=120)
        house_.wait_active("lantern-web.service")
        house_.wait_active("lantern-viewer.service", 120)
        yield house_


def run_in_source(house: SystemdContainer, code: str, *arguments: str) -> str:
    """What *code* prints beside the tests' own modules."""
    given = " ".join(arguments)
    return house.run(f"cd /opt/lantern/source && /opt/lantern/venv/bin/python -c '{code}' {given}", timeout=60)


def ask_front(house: SystemdContainer) -> str:
    return house.run(f"/opt/lantern/venv/bin/python -c '{ASK}'", check=False)


def test_the_page_is_served_over_tls_that_a_trusting_pc_believes(house: SystemdContainer) -> None:
    house.wait("the page", lambda: '"status"' in ask_front(house))


def test_the_certificate_is_looked_at_by_a_timer_and_names_the_box(house: SystemdContainer) -> None:
    house.run("systemctl start lantern-certificate.timer")
    assert house.show("lantern-certificate.timer", "ActiveState") == "active"
    text = house.run("openssl x509 -in /var/lib/lantern/front/server.pem -noout -text")
    assert "DNS:lantern-clinic-7.local" in text
    assert "Lantern: https://lantern-clinic-7.local/" in house.read("/run/issue.d/lantern.issue")


@pytest.mark.parametrize(
    ("code", "refusal"),
    [
        (
            "import os; print(os.listdir('/var/lib/lantern')); open('/var/lib/lantern/clinical/clinical.db')",
            "FileNotFound",
        ),
        ("open('/var/lib/lantern/authority/authority.key')", "FileNotFound"),
        ("open('/var/lib/lantern/front/server.pem', 'a')", "PermissionError"),
        ("open('/etc/lantern/lantern.toml', 'a')", "PermissionError"),
        ("import os; os.setuid(0)", "PermissionError"),
        ("import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)", "PermissionError"),
        ("open('/var/tmp/../lib/dpkg/status', 'a')", "PermissionError"),
        ("import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)", "OSError"),
    ],
)
def test_the_front_reaches_nothing_but_its_certificate_and_the_viewer(
    house: SystemdContainer, code: str, refusal: str
) -> None:
    done = house.attempt("lantern-web.service", code)
    assert done.returncode != 0
    assert refusal in done.stderr
    if "listdir" in code:
        assert done.stdout.strip() == "['front']"


def test_dicomweb_comes_to_the_gateway_through_the_front_and_in_no_other_way(house: SystemdContainer) -> None:
    house.wait_active("lantern-gateway.service", 120)
    assert run_in_source(house, SENT).strip() == "403"
    assert run_in_source(house, SENT, "/etc/lantern/clients/county.pem").strip() == "200"
    code = "import socket; socket.socket(socket.AF_UNIX).connect('/run/lantern-dicomweb/dicomweb.sock')"
    for unit, may in (("lantern-viewer.service", False), ("lantern-web.service", True)):
        assert (house.attempt(unit, code).returncode == 0) is may, unit


def test_a_front_that_is_killed_is_back(house: SystemdContainer) -> None:
    before = house.pid("lantern-web.service")
    house.run(f"kill -9 {before}")
    house.wait("another nginx", lambda: house.pid("lantern-web.service") not in (0, before))
    house.wait("the page", lambda: '"status"' in ask_front(house))


def test_an_authority_that_was_removed_is_made_anew(house: SystemdContainer) -> None:
    before = house.read("/var/lib/lantern/front/lantern-ca.crt")
    house.run(
        "rm -r /var/lib/lantern/front /var/lib/lantern/authority && systemctl restart lantern-certificate lantern-web"
    )
    assert house.read("/var/lib/lantern/front/lantern-ca.crt") != before
    house.wait("the page", lambda: '"status"' in ask_front(house))
