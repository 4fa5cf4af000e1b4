"""The first page under a real systemd: the viewer's own user asks, root answers, and neither can do more than that."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firmware_app.core.state_dir import StateDir
from tests.faults.systemd_house import SystemdContainer
from tests.peers import need_root, peer

pytestmark = pytest.mark.appliance

STATE = StateDir(Path("/var/lib/lantern"))
ASK = """
from pathlib import Path
from firmware_app.appliance import provisioning_request
from firmware_app.core.state_dir import StateDir
answers = dict(box="{box}", clinic="清河卫生院", language="zh_CN", zone="{zone}", ae_title="LANTERN", calling="")
request = provisioning_request.FirstRequest(answers=answers, request="{number}")
provisioning_request.submit_request(StateDir(Path("/var/lib/lantern")), request)
"""


@pytest.fixture(scope="module")
def box() -> Iterator[SystemdContainer]:
    """An installed box from the shelf."""
    need_root()
    peer("ip")
    with SystemdContainer() as house:
        house.install('[viewer]\nhost = "127.0.0.1"\n[retention]\nballast_mb = 0\n')
        # What starts the whole box again has nothing to start here.
        house.run("sed -i 's/ --restart//' /etc/systemd/system/lantern-provision.service && systemctl daemon-reload")
        house.run("systemctl start lantern-setup.service lantern-provision.path", timeout=170)
        yield house


def request_provisioning(box: SystemdContainer, unit: str, name: str, number: str) -> dict[str, Any]:
    """What root says to a request that *unit*'s user wrote."""
    zone = box.run("readlink /etc/localtime").partition("zoneinfo/")[2]
    done = box.attempt(unit, ASK.format(box=name, zone=zone, number=number))
    assert done.returncode == 0, done.stderr
    result = STATE.provision / "result.json"
    box.wait("root's answer", lambda: number in box.run(f"cat {result}", check=False), 60)
    answer: dict[str, Any] = json.loads(box.read(result))
    return answer


def test_the_box_shows_its_first_code_above_the_log_in(box: SystemdContainer) -> None:
    assert "lantern-console.service" in box.show("lantern.target", "Wants").split()
    box.run("systemctl start lantern-console.service")
    shown = box.run("script -qec 'agetty --show-issue' /dev/null")
    assert re.search(r"https://lantern-\S+\.local/", shown)
    assert re.search(r"\b[2-9A-Z]{4}-[2-9A-Z]{4}-[2-9A-Z]{4}\b", shown)
    box.run("test -e /run/agetty.reload")  # by it a log-in that waits already knows that there is more to show
    owner = box.run("stat -L -c '%U %a' /etc/issue.d/lantern-code.issue")
    assert owner == "lantern-viewer 600"
    assert box.show("lantern-console.service", "Result") == "success"


def test_no_other_process_can_ask(box: SystemdContainer) -> None:
    """The sandbox holds the gateway; the folder's group, which is the viewer's alone, holds the importer."""
    request = ASK.format(box="clinic-6", zone="Etc/UTC", number="0" * 16)
    assert "Permission denied" in box.attempt("lantern-gateway.service", request).stderr
    assert box.run(f"stat -c '%U %G %a' {STATE.provision}") == "root lantern-viewer 2770"
    forging = f"echo '{{}}' > {STATE.provision}/request.json"
    refused = box.run(f'runuser -u lantern-usb -g lantern-clinical -- sh -c "{forging}"', check=False)
    assert "Permission denied" in refused
    assert "clinic-6" not in box.read("/etc/lantern/lantern.toml")


def test_what_the_viewer_asks_is_done_once(box: SystemdContainer) -> None:
    written = box.attempt("lantern-viewer.service", "open('/etc/lantern/lantern.toml', 'w')")
    assert "Read-only file system" in written.stderr
    answer = request_provisioning(box, "lantern-viewer.service", "clinic-7", "1" * 16)
    assert (answer["reason"]["code"], answer["box"]) == ("provision.done", "clinic-7")
    assert 'id = "clinic-7"' in box.read("/etc/lantern/lantern.toml")
    look = f"stat -c '%n %U %G %a' {STATE.line_keys}/* /etc/lantern/lantern.toml"
    lines = {Path(line.split()[0]).name: line.split()[1:] for line in box.run(look).splitlines()}
    assert lines["identity.pem"] == ["root", "root", "600"]
    assert lines["tls.key"] == ["root", "root", "600"]
    assert lines["lantern.toml"] == ["root", "root", "644"]
    answer = request_provisioning(box, "lantern-viewer.service", "clinic-8", "2" * 16)
    assert answer["reason"]["code"] == "provision.already"
    assert 'id = "clinic-7"' in box.read("/etc/lantern/lantern.toml")


def test_who_answers_sees_no_image_and_reaches_no_network(box: SystemdContainer) -> None:
    code = """
import os, socket
for path in ("images", "clinical", "accounts"):
    try:
        os.listdir(f"/var/lib/lantern/{path}")
    except PermissionError as error:
        print(error.strerror)
for act in (lambda: socket.socket(socket.AF_INET), lambda: open("/etc/passwd", "a")):
    try:
        act()
    except OSError as error:
        print(error.strerror)
"""
    done = box.attempt("lantern-provision.service", code)
    said = ["Permission denied"] * 3 + ["Address family not supported by protocol", "Read-only file system"]
    assert done.stdout.splitlines() == said, done.stderr
