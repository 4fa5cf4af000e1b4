"""Who gets a place for an association, and whose place is taken when none is free."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from firmware_app.dicom.scp import association_slots
from firmware_app.dicom.scp.association_slots import AssociationSlots

CLINIC, STRANGER, ANOTHER = "192.0.2.1", "198.51.100.9", "203.0.113.1"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(association_slots, "_WAIT_S", 0.3)
    monkeypatch.setattr(association_slots, "_LOOK_S", 0.01)


@dataclass(eq=False)
class Peer:
    """An association whose peer has been silent for *silent* seconds; it leaves as soon as it is asked."""

    places: AssociationSlots
    address: str = CLINIC
    silent: float = 0.0
    asked: threading.Event = field(default_factory=threading.Event)

    def silent_s(self) -> float:
        return self.silent

    def yield_slot(self) -> None:
        self.asked.set()
        threading.Thread(target=self.places.release, args=(self,)).start()


def full(places: AssociationSlots, *holders: tuple[str, float]) -> list[Peer]:
    """Holders by address and silence, each with a place."""
    peers = [Peer(places, address, silent) for address, silent in holders]
    assert all(places.take(peer) for peer in peers)
    return peers


def test_there_are_so_many_places_and_no_more() -> None:
    places = AssociationSlots(2)
    first, _ = full(places, (CLINIC, 0.0), (STRANGER, 0.0))
    newcomer = Peer(places, ANOTHER)
    assert not places.take(newcomer)
    places.release(first)
    assert places.take(newcomer)


def test_one_address_gets_half_of_the_places() -> None:
    places = AssociationSlots(4)
    full(places, (STRANGER, 0.0), (STRANGER, 0.0))
    assert not places.take(Peer(places, STRANGER))
    full(places, (CLINIC, 0.0), (ANOTHER, 0.0))


def test_the_longest_silent_gives_way_and_one_that_sends_never() -> None:
    places = AssociationSlots(3)
    sends, silent, longer = full(places, (CLINIC, 0.0), (STRANGER, 5.0), (ANOTHER, 9.0))
    assert places.take(Peer(places))
    assert longer.asked.is_set()
    assert places.take(Peer(places, ANOTHER))
    assert silent.asked.is_set()
    assert not places.take(Peer(places, STRANGER))
    assert not sends.asked.is_set()


def test_an_address_with_its_half_loses_one_of_its_own() -> None:
    places = AssociationSlots(4)
    clinic, own, _ = full(places, (CLINIC, 20.0), (STRANGER, 5.0), (STRANGER, 0.0))
    assert places.take(Peer(places, STRANGER))
    assert own.asked.is_set()
    assert not clinic.asked.is_set()


@contextmanager
def waiting(*peers: Peer) -> Iterator[list[Peer]]:
    """*peers* wait for a place in threads of their own; those that got one."""
    took: list[Peer] = []
    threads = [
        threading.Thread(target=lambda peer=peer: took.append(peer) if peer.places.take(peer) else None)
        for peer in peers
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 10
    while len(peers[0].places._waiting) < len(peers) and time.monotonic() < deadline:
        time.sleep(0.001)
    yield took
    for thread in threads:
        thread.join()


def test_as_many_of_an_address_wait_and_the_next_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(association_slots, "_WAIT_S", 60.0)
    places = AssociationSlots(4)
    holders = full(places, (STRANGER, 0.0), (STRANGER, 0.0))
    with waiting(Peer(places, STRANGER), Peer(places, STRANGER)) as took:
        assert not places.take(Peer(places, STRANGER))
        assert places.take(Peer(places, CLINIC))
        for holder in holders:
            places.release(holder)
    assert len(took) == 2
