"""The JSON form of `records.Header`, `Reading` and `Conclusion` in database rows, validated when it is read.

The adapters are made at first use: each costs a few milliseconds, and most processes need at most one.
"""

from __future__ import annotations

from functools import cache

from pydantic import TypeAdapter

from firmware_app.records import Conclusion, Header, Reading


@cache
def header() -> TypeAdapter[Header]:
    """The adapter for `instances.header`."""
    return TypeAdapter(Header)


@cache
def reading() -> TypeAdapter[Reading]:
    """The adapter for `readings.body` and `superseded.body`."""
    return TypeAdapter(Reading)


@cache
def conclusion() -> TypeAdapter[Conclusion]:
    """The adapter for `conclusions.body`."""
    return TypeAdapter(Conclusion)
