"""Settings for all tests: examples that hypothesis draws are the same in every run, unless LANTERN_EXPLORE=1."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile("explore" if os.environ.get("LANTERN_EXPLORE") == "1" else "same")
