"""The base class of all messages, the types of their fields, and the two wire versions.

A message is a frozen dataclass whose fields are annotated with a field type (``box: Annotated[str, Text("…")]``).  Each
type is a closed set of values, so that no free text can be built, sent or accepted.  A message is checked when it is
made and written as canonical JSON.  `decode` refuses bytes that are not the canonical JSON of a message.  Errors name
the field and never its value.

`WireVersion` says how long a message of each version may be (form 1 and form 2 in docs/uplink.md).  This module has no
cryptography.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from datetime import date
from enum import IntEnum, StrEnum
from typing import Any, ClassVar, Final, Self, TypeVar, get_type_hints

from firmware_app.uplink.errors import (
    MessageInvalid,
    MessageTooLarge,
)

MOST_MESSAGE_BYTES = 16_384
"""The longest message, in bytes of its JSON."""


AnyMessage = TypeVar("AnyMessage", bound="Message")


class FieldType(ABC):
    """One closed set of values.

    `read` converts a JSON value to the Python value, or raises ValueError; `accepts` checks the Python value when the
    message is made; `write` converts back.  By default both conversions change nothing.
    """

    @abstractmethod
    def accepts(self, value: object) -> bool: ...

    def read(self, raw: object) -> object:
        return raw

    def write(self, value: Any) -> object:
        return value


class Text(FieldType):
    """ASCII text of one pattern."""

    def __init__(self, pattern: str) -> None:
        self._pattern = re.compile(pattern, re.ASCII)

    def accepts(self, value: object) -> bool:
        return isinstance(value, str) and self._pattern.fullmatch(value) is not None


class Hour(Text):
    """An hour of an existing date, as 2026-11-21T03."""

    def __init__(self) -> None:
        super().__init__(r"20(2[4-9]|[3-9][0-9])-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3])")

    def accepts(self, value: object) -> bool:
        if not super().accepts(value) or not isinstance(value, str):
            return False
        try:
            date.fromisoformat(value[:10])
        except ValueError:
            return False
        return True


class Whole(FieldType):
    """A whole number between two bounds, both included."""

    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most

    def accepts(self, value: object) -> bool:
        return type(value) is int and self._least <= value <= self._most


class OneOf(FieldType):
    """A member of an enumeration."""

    def __init__(self, kind: type[StrEnum]) -> None:
        self._kind = kind

    def accepts(self, value: object) -> bool:
        return isinstance(value, self._kind)

    def read(self, raw: object) -> object:
        if not isinstance(raw, str):
            raise ValueError
        return self._kind(raw)

    def write(self, value: Any) -> object:
        return str(value)


class Maybe(FieldType):
    """Another form, or nothing."""

    def __init__(self, form: FieldType) -> None:
        self._form = form

    def accepts(self, value: object) -> bool:
        return value is None or self._form.accepts(value)

    def read(self, raw: object) -> object:
        return None if raw is None else self._form.read(raw)

    def write(self, value: Any) -> object:
        return None if value is None else self._form.write(value)


class Many(FieldType):
    """A tuple of at most so many values of another form."""

    def __init__(self, form: FieldType, most: int) -> None:
        self._form, self._most = form, most

    def accepts(self, value: object) -> bool:
        return isinstance(value, tuple) and len(value) <= self._most and all(map(self._form.accepts, value))

    def read(self, raw: object) -> object:
        if not isinstance(raw, list) or len(raw) > self._most:
            raise ValueError
        return tuple(self._form.read(item) for item in raw)

    def write(self, value: Any) -> object:
        return [self._form.write(item) for item in value]


class Nested(FieldType):
    """A message inside a message."""

    def __init__(self, kind: type[Message]) -> None:
        self._kind = kind

    def accepts(self, value: object) -> bool:
        return isinstance(value, self._kind)

    def read(self, raw: object) -> object:
        return self._kind.from_object(raw)

    def write(self, value: Any) -> object:
        made: object = value.to_object()
        return made


class Message:
    """Base class of messages.  `name` tells the kinds of message apart in their JSON."""

    name: ClassVar[str]
    __slots__ = ()

    def __post_init__(self) -> None:
        for name, form in get_field_types(type(self)).items():
            if not form.accepts(getattr(self, name)):
                raise MessageInvalid(field=name)

    @classmethod
    def takes(cls, **values: object) -> bool:
        """Whether each of these fields may hold its value."""
        return all(get_field_types(cls)[name].accepts(value) for name, value in values.items())

    def to_object(self) -> dict[str, object]:
        """The fields as JSON values."""
        return {name: form.write(getattr(self, name)) for name, form in get_field_types(type(self)).items()}

    @classmethod
    def from_object(cls, raw: object) -> Self:
        """The message of these JSON values; raises `MessageInvalid` for a field too few, too many or wrong."""
        known = get_field_types(cls)
        if not isinstance(raw, dict) or raw.keys() != known.keys():
            raise MessageInvalid(field=cls.name)
        values: dict[str, object] = {}
        for name, form in known.items():
            try:
                values[name] = form.read(raw[name])
            except ValueError:
                raise MessageInvalid(field=name) from None
        return cls(**values)

    def encode(self) -> bytes:
        """Canonical JSON: ASCII, sorted keys, no space.  Raises `MessageTooLarge` above `MOST_MESSAGE_BYTES`."""
        text = _encode_canonical({"message": self.name, **self.to_object()})
        if len(text) > MOST_MESSAGE_BYTES:
            raise MessageTooLarge(size=len(text), limit=MOST_MESSAGE_BYTES)
        return text


_FIELD_TYPES: dict[type[Message], Mapping[str, FieldType]] = {}


def get_field_types(kind: type[Message]) -> Mapping[str, FieldType]:
    """The form of each field of a kind of message, computed once."""
    if kind not in _FIELD_TYPES:
        hints = get_type_hints(kind, include_extras=True)
        _FIELD_TYPES[kind] = {one.name: hints[one.name].__metadata__[0] for one in fields(kind)}  # type: ignore[arg-type]
    return _FIELD_TYPES[kind]


def decode(data: bytes, *kinds: type[AnyMessage]) -> AnyMessage:
    """The message, one of *kinds*, whose canonical JSON is *data*; raises `MessageInvalid` or `MessageTooLarge`."""
    if len(data) > MOST_MESSAGE_BYTES:
        raise MessageTooLarge(size=len(data), limit=MOST_MESSAGE_BYTES)
    try:
        raw = json.loads(data)
        strict = isinstance(raw, dict) and _encode_canonical(raw) == data  # also refuses a repeated key
    except (ValueError, RecursionError):
        raise MessageInvalid(field="message") from None
    if not strict:
        raise MessageInvalid(field="message")
    name = raw.pop("message", None)
    for kind in kinds:
        if kind.name == name:
            return kind.from_object(raw)
    raise MessageInvalid(field="message")


_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def _encode_canonical(raw: object) -> bytes:
    return _CANONICAL.encode(raw).encode("ascii")


SIGNATURE_BYTES: Final = 64
LENGTH_BYTES: Final = 2
"""Bytes of a signature, and of the length after it."""
PAD_BYTES: Final = 256
"""In form 1 the padding ends at the next multiple of so many bytes."""
PLAIN_BYTES: Final = 2_048
"""In form 2 every plaintext is so many bytes long."""


class WireVersion(IntEnum):
    """The form of an envelope and of what may be in it; both sides of one exchange use the same."""

    FIRST = 1
    SECOND = 2

    @property
    def most_bytes(self) -> int:
        """The longest body that goes up, in bytes."""
        return MOST_MESSAGE_BYTES if self is WireVersion.FIRST else PLAIN_BYTES - SIGNATURE_BYTES - LENGTH_BYTES

    def plain_bytes(self, body: int) -> int:
        """How long the sealed plaintext is for a *body* of so many bytes."""
        return (
            -(-(SIGNATURE_BYTES + LENGTH_BYTES + body) // PAD_BYTES) * PAD_BYTES
            if self is WireVersion.FIRST
            else PLAIN_BYTES
        )
