"""A case leaves for the clinic's information system: as a file, or to a server that speaks FHIR."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from tests import exporting_rig
from tests.exporting_rig import Box
from tests.results import add_reading

box = exporting_rig.box


class Server(HTTPServer):
    """A FHIR server that checks what comes and answers as it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.entry_status = 200, "201 Created"
        self.came: list[tuple[dict[str, str], Any]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Bundle.model_validate(body)
        self.server.came.append((dict(self.headers), body))
        outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "processing"}]}
        entries = [{"response": {"status": self.server.entry_status}} for _ in body["entry"]]
        answer = {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}
        said = json.dumps(answer if self.server.status == 200 else outcome).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/fhir+json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        (tmp_path / "token").write_text("secret\n")
        monkeypatch.setenv("LANTERN_FHIR__URL", f"http://127.0.0.1:{made.server_port}/fhir")
        monkeypatch.setenv("LANTERN_FHIR__TOKEN", str(tmp_path / "token"))
        yield made
        made.shutdown()


def ask(box: Box, *words: str) -> int:
    from firmware_app.cli.command_line import main

    return main(["case", "export", box.case, *words, "--person", "li"])


@pytest.mark.parametrize(("option", "name"), [("--fhir", ".fhir.json"), ("--hl7", ".hl7")])
def test_a_message_leaves_as_one_file_by_a_named_person_and_is_not_written_over(
    box: Box, capsys: pytest.CaptureFixture[str], option: str, name: str
) -> None:
    add_reading(box.clinical, box.case)
    assert ask(box, option, str(box.stick)) == 0
    assert [path.name for path in box.stick.iterdir()] == [f"{box.case}{name}"]
    written = (box.stick / f"{box.case}{name}").read_text("utf-8")
    assert ("||Zhang^San|" if option == "--hl7" else "Zhang San") in written
    assert [(one.action, one.details["account"]) for one in box.read_export_audit()] == [
        ("export.begun", "li"),
        ("export.done", "li"),
    ]
    assert ask(box, option, str(box.stick)) == 1
    assert "export.there" in capsys.readouterr().err


def test_a_server_takes_the_whole_bundle(box: Box, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    add_reading(box.clinical, box.case)
    assert ask(box, "--fhir-server") == 0
    ((headers, bundle),) = server.came
    assert headers["Authorization"] == "Bearer secret"
    assert bundle["type"] == "transaction"
    assert box.actions == ["export.begun", "export.done"]
    assert f"http://127.0.0.1:{server.server_port}/fhir" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "entry", "said"), [(422, "", "HTTP 422: processing"), (200, "400 Bad Request", "HTTP 200: 400")]
)
def test_a_server_that_refuses_is_told_of_and_nothing_counts_as_sent(
    box: Box, server: Server, capsys: pytest.CaptureFixture[str], status: int, entry: str, said: str
) -> None:
    add_reading(box.clinical, box.case)
    server.status, server.entry_status = status, entry
    assert ask(box, "--fhir-server") == 1
    told = capsys.readouterr().err
    assert "export.fhir_refused" in told
    assert said in told
    assert box.actions == ["export.begun", "export.stopped"]
