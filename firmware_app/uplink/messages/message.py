"""What all messages have in common, and the constraints of their fields.

A message is a frozen pydantic dataclass, strict, without unknown fields.  Each field is a closed set of values
(``box: Annotated[str, matching_text("…")]``), so that no free text can be built, sent or accepted.  A message is
checked when it is made and written as canonical JSON.  `decode` refuses bytes that are not the canonical JSON of a
message.  Errors name the field and never its value.

This module has no cryptography.
"""

from __future__ import annotations

import functools
import json
import re
from datetime import date
from typing import Annotated, Any, ClassVar, Final, Self, TypeVar, dataclass_transform, get_type_hints

import pydantic
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from firmware_app.uplink.errors import MessageInvalid, MessageTooLarge

MOST_MESSAGE_BYTES = 16_384
"""The longest message, in bytes of its JSON."""

AnyMessage = TypeVar("AnyMessage", bound="Message")
_STRICT: Final = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)
_KEYS: Final = ("missing", "unexpected_keyword_argument", "unexpected_positional_argument", "missing_argument")
"""Errors of pydantic about the set of fields, whose names may be anything."""


def matching_text(pattern: str) -> AfterValidator:
    """Text that matches *pattern* whole; its ``\\d`` and ``\\w`` are ASCII."""
    whole = re.compile(pattern, re.ASCII)

    def check(value: str) -> str:
        if whole.fullmatch(value) is None:
            raise ValueError("another form")
        return value

    return AfterValidator(check)


def bounded_int(least: int, most: int) -> Any:
    """A whole number between two bounds, both included."""
    return Field(ge=least, le=most)


def bounded_tuple(most: int) -> Any:
    """A tuple of at most so many values."""
    return Field(max_length=most)


def _check_date(value: str) -> str:
    date.fromisoformat(value[:10])
    return value


Hour = Annotated[
    str,
    matching_text(r"20(2[4-9]|[3-9][0-9])-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3])"),
    AfterValidator(_check_date),
]
"""An hour of an existing date, as 2026-11-21T03."""


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def message(kind: type[AnyMessage]) -> type[AnyMessage]:
    """Make a class whose every value is a valid message of one kind: its fields are checked when it is made."""
    made = pydantic.dataclasses.dataclass(frozen=True, slots=True, config=_STRICT)(kind)
    fill = made.__init__

    @functools.wraps(fill)
    def check(self: AnyMessage, *values: object, **named: object) -> None:
        try:
            fill(self, *values, **named)
        except ValidationError as error:
            raise _name_field(error, kind.name) from None

    made.__init__ = check  # type: ignore[assignment]
    return made  # type: ignore[return-value]


class Message:
    """Base class of messages.  `name` tells the kinds of message apart in their JSON."""

    name: ClassVar[str]
    __slots__ = ()

    @classmethod
    def accepts(cls, **values: object) -> bool:
        """Whether each of these fields may hold its value."""
        return all(_is_valid(_make_adapter(cls, name), value) for name, value in values.items())

    def to_object(self) -> dict[str, object]:
        """The fields as JSON values."""
        content: dict[str, object] = _make_adapter(type(self)).dump_python(self, mode="json")
        return content

    @classmethod
    def from_object(cls, raw: object) -> Self:
        """The message of these JSON values; raises `MessageInvalid` for a field too few, too many or wrong."""
        try:
            made: Self = _make_adapter(cls).validate_json(json.dumps(raw))
        except ValidationError as error:
            raise _name_field(error, cls.name) from None
        return made

    def encode(self) -> bytes:
        """Canonical JSON: ASCII, sorted keys, no space.  Raises `MessageTooLarge` above `MOST_MESSAGE_BYTES`."""
        encoded = _encode_canonical({"message": self.name, **self.to_object()})
        if len(encoded) > MOST_MESSAGE_BYTES:
            raise MessageTooLarge(size=len(encoded), limit=MOST_MESSAGE_BYTES)
        return encoded


_ADAPTERS: Final[dict[tuple[type[Message], str], TypeAdapter[Any]]] = {}


def _make_adapter(kind: type[Message], field: str = "") -> TypeAdapter[Any]:
    """What checks a message of *kind*, or one *field* of it; made once."""
    if (kind, field) not in _ADAPTERS:
        adapter: TypeAdapter[Any] = (
            TypeAdapter(get_type_hints(kind, include_extras=True)[field], config=_STRICT)
            if field
            else TypeAdapter(kind)
        )
        _ADAPTERS[kind, field] = adapter
    return _ADAPTERS[kind, field]


def _is_valid(adapter: TypeAdapter[Any], value: object) -> bool:
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def _name_field(error: ValidationError, name: str) -> MessageInvalid:
    """The field of the first problem; *name* where the fields are not those of the message."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    fields = [part for part in first["loc"] if isinstance(part, str)]
    return MessageInvalid(field=fields[-1] if fields and first["type"] not in _KEYS else name)


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
PLAIN_BYTES: Final = 2_048
"""Every plaintext that goes up is so many bytes long."""
MOST_BODY_BYTES: Final = PLAIN_BYTES - SIGNATURE_BYTES - LENGTH_BYTES
"""The longest body that goes up, in bytes."""
