"""A process that cannot start says why to whoever asks the box, not only to its log."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from tests.box import run_box, run_lantern


def checks(state: Path, name: str, **more: str) -> list[dict[str, Any]]:
    said = run_lantern(state, "doctor", "--json", **more).stdout.splitlines()
    return [check for check in map(json.loads, said) if check["check"] == name]


def test_the_doctor_names_the_port_that_another_program_has_until_it_is_free(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        more = {"LANTERN_DICOM__PORT": port}
        with run_box(tmp_path / "state", **more) as box:
            box.wait_event("ended", "gateway")
            (check,) = checks(tmp_path / "state", "gateway", **more)
            assert (check["result"], check["code"]) == ("fail", "service.port_taken")
            assert port in check["text"]
            other.close()
            box.wait_event("ready", "gateway")
            assert {check["code"] for check in checks(tmp_path / "state", "gateway", **more)} == {
                "doctor.process_ok",
                "doctor.gateway_ok",
            }


def test_the_doctor_names_the_tls_file_for_which_the_port_is_closed(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    more = {"LANTERN_DICOM__TLS_CERT": str(broken), "LANTERN_DICOM__TLS_KEY": str(broken)}
    with run_box(tmp_path / "state", **more) as box:
        box.wait_event("ended", "gateway")
        (check,) = checks(tmp_path / "state", "gateway", **more)
        assert check["code"] == "service.tls"
        assert str(broken) in check["text"]
