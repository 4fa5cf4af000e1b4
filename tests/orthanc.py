"""A real Orthanc for tests, on free ports and with a storage of its own; it can be killed and started again."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests import peers

TITLE: Final = "ORTHANC"
_START_S: Final = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Orthanc:
    """An Orthanc below *folder*; what it stored stays there between two starts."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.port, self.http = free_port(), free_port()
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self._config = folder / "orthanc.json"
        store = str(folder / "store")
        self._config.write_text(
            json.dumps(
                {
                    "Name": "test",
                    "StorageDirectory": store,
                    "IndexDirectory": store,
                    "DicomAet": TITLE,
                    "DicomPort": self.port,
                    "HttpPort": self.http,
                    "AuthenticationEnabled": False,
                    "DicomAlwaysAllowStore": True,
                    "DicomCheckModalityHost": False,
                    "StableAge": 1,
                    **settings,
                }
            ),
            "utf-8",
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([peers.peer("Orthanc"), str(self._config)], stdout=log, stderr=log)
        deadline = time.monotonic() + _START_S
        while True:
            try:
                self.request("/system")
                return
            except OSError:
                assert self._process.poll() is None, (self._folder / "log").read_text("utf-8", "replace")[-2000:]
                assert time.monotonic() < deadline, "Orthanc did not answer"
                time.sleep(0.05)  # nothing tells when it listens

    def kill(self) -> None:
        """As a power cut does; nothing where it does not run."""
        if self._process is not None:
            os.kill(self._process.pid, 9)
            self._process.wait(10)
            self._process = None

    def request(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """The answer of its REST interface; raises `OSError`."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            content = answer.read()
        return json.loads(content) if content.strip() else None

    def add_modality(self, title: str, port: int) -> None:
        """Have it know the machine *title* on this computer."""
        told = {"AET": title, "Host": "127.0.0.1", "Port": port, "AllowStorageCommitment": True}
        self.request(f"/modalities/{title.lower()}", told, "PUT")

    def list_instances(self) -> dict[str, str]:
        """SOP Instance UID -> modality of every instance that it holds."""
        found = {}
        for one in self.request("/instances?expand"):
            series = self.request(f"/series/{one['ParentSeries']}")
            found[one["MainDicomTags"]["SOPInstanceUID"]] = series["MainDicomTags"]["Modality"]
        return found

    @contextmanager
    def running(self) -> Iterator[Orthanc]:
        self.start()
        try:
            yield self
        finally:
            self.kill()


@contextmanager
def running(folder: Path, **settings: Any) -> Iterator[Orthanc]:
    with Orthanc(folder, **settings).running() as started:
        yield started
