"""Who gives way when all places are taken: the arithmetic of it, and the line of those who wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from firmware_app.dicom.scp.association_slots import AssociationSlots, EvictionClass, Throughput, choose_eviction

Past = Callable[[Throughput], None]
LONG = 3.0  # seconds that the newcomer still waits
SHORT = 1.0
MANY = 32  # as many wait in line at most


@dataclass(eq=False)
class Peer:
    """An association with a past: what came of it, and how long it has said nothing since."""

    name: str = "peer"
    address: str = "192.0.2.1"
    pace: Throughput = field(default_factory=Throughput)
    asked: threading.Event = field(default_factory=threading.Event)

    def give_way(self) -> None:
        self.asked.set()


def silent(seconds: float) -> Past:
    def lived(pace: Throughput) -> None:
        pace.advance(seconds, 0)

    return lived


def image(seconds: float, bytes_per_s: float, *, whole: bool = False, each_s: float = 0.25) -> Past:
    """An image that has been arriving for so long; acknowledged when it is *whole*."""

    def lived(pace: Throughput) -> None:
        pace.begin_image()
        for _ in range(round(seconds / each_s)):
            pace.advance(each_s, round(bytes_per_s * each_s))
        if whole:
            pace.end_image(acknowledged=True)

    return lived


def echoes(seconds: float, bytes_per_s: float) -> Past:
    """Messages that are no image."""

    def lived(pace: Throughput) -> None:
        for _ in range(round(seconds * 4)):
            pace.advance(0.25, round(bytes_per_s / 4))

    return lived


def peer(name: str, *past: Past, address: str = "192.0.2.1") -> Peer:
    made = Peer(name, address)
    for lived in past:
        lived(made.pace)
    made.pace.wait()
    return made


def leaver(peers: list[Peer], remaining_s: float) -> str | None:
    leaving = choose_eviction([*peers], time.monotonic(), remaining_s)
    return leaving.name if isinstance(leaving, Peer) else None


MODEM = (image(60, 10_000),)
THINKING = (image(4, 2_000_000, whole=True), silent(20))
DRIPPER = (image(15, 100),)
FAST = (image(10, 1_000_000),)


@pytest.mark.parametrize(
    ("goes", "goes_past", "stays", "stays_past"),
    [
        ("silent", (silent(2),), "modem", MODEM),
        ("silent", (silent(2),), "thinking", THINKING),
        ("silent", (silent(2),), "fast", FAST),
        ("dripper", DRIPPER, "thinking", THINKING),
        ("dripper younger than the pause", (image(5, 100),), "thinking", THINKING),
        ("dripper", DRIPPER, "modem", MODEM),
        ("echoing", (echoes(5, 1_000_000),), "thinking", THINKING),
        ("echoing", (echoes(5, 1_000_000),), "modem", MODEM),
        ("thinking", THINKING, "modem in its first image", MODEM),
        ("thinking", THINKING, "modem in its second image", (image(60, 10_000, whole=True), image(60, 10_000))),
        ("long gone", (image(4, 2_000_000, whole=True), silent(290)), "thinking", THINKING),
        ("one tiny image, then silent", (image(0.25, 4_000, whole=True), silent(5)), "thinking", THINKING),
        ("slow dripper", (image(15, 100),), "less slow dripper", (image(15, 1_000),)),
    ],
)
def test_who_gives_way(goes: str, goes_past: tuple[Past, ...], stays: str, stays_past: tuple[Past, ...]) -> None:
    peers = [peer(goes, *goes_past), peer(stays, *stays_past)]
    for remaining_s in (LONG, SHORT):
        assert leaver(peers, remaining_s) == leaver(peers[::-1], remaining_s) == goes


def test_an_image_on_a_slow_line_ends_only_at_the_last_moment_and_only_beside_faster_ones() -> None:
    peers = [peer("fast", *FAST), peer("modem", *MODEM), peer("slower", image(60, 5_000))]
    assert leaver(peers, LONG) is None
    assert leaver(peers, SHORT) == "slower"


def test_an_image_on_a_slow_line_of_a_peer_that_has_had_one_acknowledged_does_not_end() -> None:
    peers = [peer("fast", *FAST), peer("modem", image(60, 10_000, whole=True), image(60, 10_000))]
    assert leaver(peers, SHORT) is None


def test_who_sends_at_speed_never_gives_way() -> None:
    assert leaver([peer(f"fast {number}", *FAST) for number in range(16)], 0.0) is None


def test_a_newcomer_waits_for_a_fresh_one_rather_than_send_a_thinking_modality_away() -> None:
    assert leaver([peer("fresh", silent(0.5)), peer("thinking", *THINKING)], SHORT) is None


def test_among_equals_the_address_with_the_most_places_gives_way() -> None:
    crowd = [peer(f"crowd {number}", silent(2), address="198.51.100.9") for number in range(15)]
    assert leaver([peer("lone", silent(5)), *crowd], LONG) == "crowd 0"


def test_who_waits_for_the_box_does_not_give_way() -> None:
    kept_busy = Peer("its image is being written")
    kept_busy.pace.advance(60.0, 0)
    assert leaver([kept_busy], SHORT) is None


@pytest.mark.parametrize(
    ("past", "standing"),
    [
        ((), EvictionClass.NEW),
        ((silent(60),), EvictionClass.NEW),
        (DRIPPER, EvictionClass.NEW),
        (MODEM, EvictionClass.MOVING),
        ((image(1, 2_000_000), silent(60)), EvictionClass.NEW),
        (THINKING, EvictionClass.PROVEN),
        ((image(4, 2_000_000, whole=True), image(20, 10)), EvictionClass.PROVEN),
        ((image(4, 2_000_000, whole=True), image(20, 10_000)), EvictionClass.MOVING),
    ],
)
def test_what_would_be_lost_with_it(past: tuple[Past, ...], standing: EvictionClass) -> None:
    assert peer("any", *past).pace.standing(time.monotonic()) is standing


# --- the line -----------------------------------------------------------------------------------------------------


class Queue:
    """Newcomers that wait in threads of their own for a place that one holds who is kept busy by the box."""

    def __init__(self) -> None:
        self.places = AssociationSlots(1)
        self.holder = Peer("holder", "203.0.113.1")  # never gives way: it waits for the box
        assert self.places.take(self.holder)
        self.took: list[Peer] = []
        self.refused: list[Peer] = []
        self._threads: list[threading.Thread] = []

    def join(self, newcomer: Peer) -> None:
        """Return when *newcomer* stands in line, or was refused."""
        known = len(self.refused)
        thread = threading.Thread(target=self._wait, args=(newcomer,))
        self._threads.append(thread)
        thread.start()
        while newcomer not in self.places._line and len(self.refused) == known:
            time.sleep(0.001)

    def _wait(self, newcomer: Peer) -> None:
        if self.places.take(newcomer):
            self.took.append(newcomer)
            self.places.give(newcomer)
        else:
            self.refused.append(newcomer)

    def settle(self) -> None:
        self.places.give(self.holder)
        for thread in self._threads:
            thread.join()


def test_a_crowd_in_the_line_does_not_keep_another_address_out() -> None:
    queue = Queue()
    crowd = [Peer(f"crowd {number}", "198.51.100.9") for number in range(MANY)]
    for one in crowd:
        queue.join(one)
    modality = Peer("modality", "192.0.2.7")
    queue.join(modality)
    queue.settle()
    assert modality in queue.took
    assert queue.refused == [crowd[-1]]  # the youngest of the crowd


def test_a_full_line_of_one_address_takes_no_more_of_it() -> None:
    queue = Queue()
    for number in range(MANY):
        queue.join(Peer(f"{number}"))
    late = Peer("late")
    queue.join(late)
    queue.settle()
    assert queue.refused == [late]
    assert len(queue.took) == MANY


def test_the_addresses_take_turns() -> None:
    places = AssociationSlots(2)
    first, second = Peer("first", "198.51.100.9"), Peer("second", "203.0.113.1")
    assert places.take(first)
    assert places.take(second)
    took: list[str] = []
    newcomers = [Peer("crowd", "198.51.100.9"), Peer("modality", "192.0.2.7")]
    threads = []
    for newcomer in newcomers:
        thread = threading.Thread(target=lambda who=newcomer: took.append(who.name) if places.take(who) else None)
        thread.start()
        threads.append(thread)
        while newcomer not in places._line:
            time.sleep(0.001)
    places.give(second)
    threads[1].join()
    assert took == ["modality"]  # the crowd came before it, but has a place already
    places.give(first)
    threads[0].join()
    assert took == ["modality", "crowd"]


def test_a_silent_holder_is_asked_and_its_place_goes_to_the_newcomer() -> None:
    places = AssociationSlots(1)
    holder = peer("silent", silent(5))
    assert places.take(holder)
    newcomer = Peer("newcomer")

    def leave() -> None:
        holder.asked.wait(10)
        places.give(holder)

    thread = threading.Thread(target=leave)
    thread.start()
    assert places.take(newcomer)
    thread.join()
