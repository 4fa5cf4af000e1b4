"""Settings for all tests: examples that hypothesis draws are the same in every run, unless LANTERN_EXPLORE=1.

Somebody vouches for the time of the test process, so that pages and rows look alike on every machine; the processes
that tests start go by what they find (tests/faults/test_clock.py).
"""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import settings

from firmware_app import clock

settings.register_profile("same", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile("explore" if os.environ.get("LANTERN_EXPLORE") == "1" else "same")


@pytest.fixture(autouse=True)
def _vouched_for() -> None:
    """Before each test anew: one may have begun to keep time in a state directory, which nobody vouches for."""
    if not clock.stamp().trusted:
        clock.here().learn(time.time(), clock.Source.PERSON)
