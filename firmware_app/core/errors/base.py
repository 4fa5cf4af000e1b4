"""The root of every error that the box can name, and refusals: a code and a sentence that an error is raised with."""

from __future__ import annotations

import os
import string
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, ClassVar, Final, Generic, TypeVar, dataclass_transform

from firmware_app.core.language import register, render_sentence

_INSTALLED: Final = "/opt/lantern/venv"
_Kind = TypeVar("_Kind", bound="LanternError", covariant=True)


@cache
def own_python() -> str:
    """The Python of this very installation, for sentences that say what to add to it; a box's by its lasting name."""
    installed = os.path.realpath(_INSTALLED) == os.path.realpath(sys.prefix)
    return f"{_INSTALLED if installed else sys.prefix}/bin/python"


@dataclass_transform(eq_default=False)
class LanternError(Exception):
    """Root of the tree.  A class that is caught or derived from has its own code and sentence; every other error is
    made by a :class:`Refusal`.

    The annotated attributes of a subclass are the placeholders of its `sentence`, and the arguments of its
    constructor, as in a dataclass.  They are no dataclasses: to generate the methods of so many classes took each
    process of the box 45 ms at its start.
    """

    code: str
    sentence: ClassVar[str]
    placeholders: tuple[str, ...] = ()
    unsaid: tuple[str, ...] = ()
    """Placeholders that are kept with the error for whoever repairs the box, in English, and not in the sentence."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = (name for name, kind in cls.__annotations__.items() if not str(kind).startswith("ClassVar"))
        cls.placeholders = (*cls.placeholders, *own)
        if "code" in cls.__dict__:
            register(cls.code, cls.sentence)
            _MAKERS[cls.code] = (cls, cls)

    def __init__(self, *values: str | float, **named: str | float) -> None:
        given = dict(zip(self.placeholders, values, strict=False)) | named
        missing = [name for name in self.placeholders if name not in given and not hasattr(type(self), name)]
        if missing or len(given) < len(values) + len(named) or not given.keys() <= set(self.placeholders):
            raise TypeError(f"{type(self).__name__} takes {', '.join(self.placeholders) or 'nothing'}, each once")
        for name, value in given.items():
            setattr(self, name, value)

    @property
    def details(self) -> Mapping[str, str | int | float]:
        """The placeholders' values, ready for storage as JSON."""
        return {name: getattr(self, name) for name in self.placeholders}

    def text(self, language: str = "en") -> str:
        """The sentence a person reads, in *language* (one of `language.LANGUAGES`)."""
        return render_sentence(self.code, self.details, language)

    def __str__(self) -> str:
        unsaid = "; ".join(str(getattr(self, name)) for name in self.unsaid)
        return f"{self.code}: {self.text()}" + (f" ({unsaid})" if unsaid else "")


class Refusal(Generic[_Kind]):
    """One thing that can go wrong: an error of *kind* with a stable code and a sentence.

    A call makes the error, with every {placeholder} of the sentence by name: ``raise MALFORMED(where="(0008,0018)")``.
    *unsaid* names details that are kept with the error and not said; *usual* gives a detail that need not be given.
    *values* replaces attributes of the kind, such as the status of a C-STORE.
    """

    __slots__ = ("_kind", "_values", "code", "placeholders", "sentence", "unsaid", "usual")

    def __init__(
        self,
        kind: type[_Kind],
        code: str,
        sentence: str,
        *,
        unsaid: tuple[str, ...] = (),
        usual: Mapping[str, Callable[[], str]] | None = None,
        **values: int,
    ) -> None:
        named = dict.fromkeys(name for _, name, _, _ in string.Formatter().parse(sentence) if name)
        self.code, self.sentence, self.unsaid, self.placeholders = code, sentence, unsaid, (*named, *unsaid)
        self._kind, self.usual, self._values = kind, usual or {}, values
        register(code, sentence)
        _MAKERS[code] = (kind, self)

    def __call__(self, **details: str | float) -> _Kind:
        given = {name: make() for name, make in self.usual.items() if name not in details} | details
        if given.keys() != set(self.placeholders):
            raise TypeError(f"{self.code} takes {', '.join(self.placeholders) or 'nothing'}")
        error = self._kind.__new__(self._kind)
        for name, value in {**self._values, **given}.items():
            setattr(error, name, value)
        error.code, error.placeholders, error.unsaid = self.code, self.placeholders, self.unsaid
        return error


_MAKERS: Final[dict[str, tuple[type[LanternError], type[LanternError] | Refusal[Any]]]] = {}


def errors_of(kind: type[LanternError]) -> list[type[LanternError] | Refusal[Any]]:
    """What has a code and makes errors of *kind*, as far as its modules are imported."""
    return [make for made, make in _MAKERS.values() if issubclass(made, kind)]


def codes_of(kind: type[LanternError]) -> frozenset[str]:
    """The codes of `errors_of`."""
    return frozenset(make.code for make in errors_of(kind))


def find_error(code: str, kinds: tuple[type[LanternError], ...]) -> type[LanternError] | Refusal[Any] | None:
    """What makes the error with this code, if it is of one of *kinds*; for errors from another process."""
    kind, make = _MAKERS.get(code, (None, None))
    return make if kind is not None and issubclass(kind, kinds) else None
