"""A flood of requests under the ids of labelled boxes crowds out no other box, and none for certain."""

from __future__ import annotations

import random

from hospital.enrolment_listener import MOST_REQUESTS_OF_A_BOX, RequestQueue


def test_strangers_at_one_box_cost_another_one_turn() -> None:
    waiting = RequestQueue()
    for number in range(10_000):
        waiting.add("clinic-1", f"{number}", b"a stranger's %d" % number)
    waiting.add("clinic-2", "t", b"the box's own")
    taken = [waiting.take(), waiting.take()]
    assert ("t", b"the box's own") in taken


def test_a_stranger_with_few_connections_only_makes_the_box_wait_in_the_row() -> None:
    waiting = RequestQueue()
    for second in range(MOST_REQUESTS_OF_A_BOX):
        for token in range(MOST_REQUESTS_OF_A_BOX - 1):
            waiting.add("clinic-1", f"{token}", b"a stranger's %d %d" % (second, token))
        waiting.add("clinic-1", "t", b"the box's own")  # it repeats itself, and keeps its place
        if waiting.take() == ("t", b"the box's own"):
            return
    raise AssertionError("it was never looked at")


def test_with_any_number_of_connections_the_box_comes_in_by_chance() -> None:
    chance, heard = random.Random(7), 0
    for _ in range(200):
        waiting = RequestQueue(chance)
        waiting.add("clinic-1", "t", b"the box's own")
        for number in range(MOST_REQUESTS_OF_A_BOX):  # all at once, before the first look
            waiting.add("clinic-1", f"{number}", b"a stranger's %d" % number)
        heard += ("t", b"the box's own") in [waiting.take() for _ in range(MOST_REQUESTS_OF_A_BOX)]
    assert heard > 150


def test_a_strangers_request_is_looked_at_once() -> None:
    waiting = RequestQueue()
    waiting.add("clinic-1", "t", b"a stranger's")
    assert waiting.take() == ("t", b"a stranger's")
    waiting.refuse(b"a stranger's")
    waiting.add("clinic-1", "u", b"a stranger's")
    assert waiting.take() is None
