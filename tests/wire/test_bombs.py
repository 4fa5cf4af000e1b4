"""The bomb set against a whole box: each is refused with a code, in time, and neither a service nor a neighbour pays.

Ten seconds are what continuous integration is given; docs/decisions/hostile.md says what each takes.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from firmware_app.cases.quarantine import Quarantine
from tests import reading_rig
from tests.peers import skip_or_fail
from tests.wire import siege as under
from tests.wire.bombs import CLIPS, DROPPED, STORED, Bomb
from tests.wire.siege import Refused, Siege

pytestmark = pytest.mark.alone

REFUSED_S = 10.0
BESIDE_S = 5.0
CHILD_MB = 512


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    with under.siege(tmp_path_factory.mktemp("siege")) as made:
        made.store_beside()
        reading_rig.wait_until(lambda: made.clinical.count_unread() == 0)
        yield made
        made.store_beside()
        assert made.same_services()


@contextmanager
def neighbour(besieged: Siege) -> Iterator[None]:
    """A modality that stores a film meanwhile, in time."""
    took: list[float] = []
    thread = threading.Thread(target=lambda: took.append(besieged.store_beside()))
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert len(took) == 1
    assert took[0] < BESIDE_S


def check_harmless(besieged: Siege, refused: Refused) -> None:
    assert refused.seconds < REFUSED_S
    assert refused.child_mb < CHILD_MB
    assert besieged.same_services()


@pytest.mark.parametrize("bomb", STORED, ids=lambda bomb: bomb.name)
def test_a_bomb_that_a_modality_sends_is_refused_in_time_and_hurts_nobody(besieged: Siege, bomb: Bomb) -> None:
    with neighbour(besieged):
        refused = besieged.send_bomb(bomb)
    assert refused.code in bomb.codes
    check_harmless(besieged, refused)


def test_bombs_as_files_are_each_refused_while_a_modality_is_served(besieged: Siege) -> None:
    drop_all(besieged, DROPPED)


def test_bombs_as_clips_are_each_refused_while_a_modality_is_served(besieged: Siege) -> None:
    if importlib.util.find_spec("av") is None:
        skip_or_fail("needs PyAV (extra video)")
    drop_all(besieged, CLIPS)


def drop_all(besieged: Siege, bombs: Sequence[Bomb]) -> None:
    """All of them at once into the watched folder, as from a stick; none may take long by itself."""
    contents = [bomb.make() for bomb in bombs]
    with besieged.peak() as peak:
        paths = [besieged.drop(bomb, content) for bomb, content in zip(bombs, contents, strict=True)]
        with neighbour(besieged):
            reading_rig.wait_until(lambda: all(besieged.find_refusal(path) for path in paths), REFUSED_S * len(bombs))
    for bomb, path in zip(bombs, paths, strict=True):
        refusal = besieged.find_refusal(path)
        assert refusal is not None
        code, seconds = refusal
        assert code in bomb.codes, bomb.name
        assert seconds < REFUSED_S, bomb.name
    assert peak.mb < CHILD_MB
    assert besieged.same_services()


def test_the_whole_set_stands_in_the_quarantine_list_with_sentences_and_no_path(besieged: Siege) -> None:
    """What modalities saw refused is what people see: a code and a sentence in both languages."""
    for bomb in (STORED[0], STORED[-1]):
        besieged.send_bomb(bomb)
    quarantine = Quarantine(besieged.clinical.database)
    entries = quarantine.list_entries(100)
    assert {entry.where for entry in entries} >= {"reader"}
    for entry in entries:
        for language in ("en", "zh_CN"):
            assert entry.reason.text(language)
            assert str(besieged.folder) not in entry.reason.text(language)
