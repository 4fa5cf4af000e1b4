"""To whose key the uplink seals: the newest that this hospital signed, whatever stands in the exchange."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_app.uplink.exchange.exchange_db import Exchange
from firmware_app.uplink.messages.envelope import key_id, sign
from firmware_app.uplink.messages.public_keys import parse_seal_key
from firmware_app.uplink.messages.summary import Keys, Kind
from firmware_app.uplink.publisher import Publisher
from tests.unit.uplink.test_exchange import BUNDLE, SIGNER, public


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    made = Exchange(tmp_path / "exchange" / "exchange.db")
    made.create()
    yield made
    made.database.close()


def sealed_to(exchange: Exchange) -> bytes:
    """The id of the key that the last will of a new connection is sealed to."""
    publisher = Publisher(exchange, "clinic-7", Ed25519PrivateKey.generate(), BUNDLE, exchange.database.path.parent)
    return publisher.begin().payload[4:12]


@pytest.mark.parametrize(
    ("serial", "signer", "box", "taken"),
    [
        pytest.param(9, SIGNER, "clinic-7", True, id="a newer key"),
        pytest.param(2, SIGNER, "clinic-7", False, id="an older key"),
        pytest.param(9, Ed25519PrivateKey.generate(), "clinic-7", False, id="a stranger's key"),
        pytest.param(9, SIGNER, "clinic-8", False, id="a key told to another box"),
    ],
)
def test_only_a_newer_key_that_this_hospital_signed_is_used(
    exchange: Exchange, serial: int, signer: Ed25519PrivateKey, box: str, taken: bool
) -> None:
    keys = Keys("clinic-7", serial, public(b"7"))
    exchange.keep_keys(BUNDLE.verify, serial, sign(keys.encode(), Kind.KEYS, box, signer))
    assert sealed_to(exchange) == key_id(parse_seal_key(public(b"7") if taken else BUNDLE.seal))
