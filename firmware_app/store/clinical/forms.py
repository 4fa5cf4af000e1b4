"""How a record stands in a row: the JSON of `records.Header` and `records.Reading`, checked when it is read back.

Made at first use: most processes need one of them, some none, and each costs a few milliseconds of start.
"""

from __future__ import annotations

from functools import cache

from pydantic import TypeAdapter

from firmware_app.records import Header, Reading


@cache
def header() -> TypeAdapter[Header]:
    """The form of `instances.header`."""
    return TypeAdapter(Header)


@cache
def reading() -> TypeAdapter[Reading]:
    """The form of `readings.body` and `superseded.body`."""
    return TypeAdapter(Reading)
