"""A broker is trusted only under the name that its certificate was made for."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from firmware_app.uplink.connection import Connection, Post
from firmware_app.uplink.errors import BROKER_UNTRUSTED
from tests.refusals import raises_refusal
from tests.wire.line_rig import run_hospital


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_certificate_of_the_right_authority_for_another_name_gets_nothing(tmp_path: Path) -> None:
    with run_hospital(tmp_path, with_receiver=False) as site:
        opened = {}
        for host in ("127.0.0.1", "localhost"):  # the certificate names the first one
            box = site.box(f"clinic-{host[0]}".replace("1", "a"), host=host)
            line = Connection(
                box.config.uplink,
                f"lantern-{box.name}",
                subscribe=f"lantern/v1/down/{box.name}/+",
                on_message=lambda _topic, _payload: None,
                on_posted=lambda _number, _refusal, _unheard: None,
            )
            will = Post(f"lantern/v1/up/{box.name}/death", b"")
            try:
                if host == "localhost":
                    with raises_refusal(BROKER_UNTRUSTED):
                        line.open(will)
                else:
                    line.open(will)
                opened[host] = line.is_open
            finally:
                line.close()
                box.close()
    assert opened == {"127.0.0.1": True, "localhost": False}
    gc.collect()
