"""``pytest.raises`` for refusals, which are no classes: each is known by the code of its error."""

from __future__ import annotations

from typing import Any

import pytest

from firmware_app.core.errors.base import LanternError, Refusal

Expected = Refusal[Any] | type[LanternError]


def raises_refusal(*expected: Expected, match: str | None = None) -> pytest.RaisesExc[Any]:
    """Fails unless the body raises one of *expected*; *match* is searched in the error's text."""
    return pytest.raises(LanternError, match=match, check=lambda error: is_one_of(error, *expected))


def is_one_of(error: BaseException, *expected: Expected) -> bool:
    """Whether *error* is an instance of a class, or made by a refusal, among *expected*."""
    return isinstance(error, LanternError) and any(
        isinstance(error, one) if isinstance(one, type) else error.code == one.code for one in expected
    )
