"""Decodes header text whose Specific Character Set (PS3.3 C.12.1.1.2) is declared, missing or wrong.

The declared set is used except in two cases where it cannot be right: valid UTF-8 with East Asian letters under another
set's name, and Chinese bytes declared as a Latin set, as nothing, or as UTF-8 that they are not.  The bytes in the
object's file are never changed.

What no value may hold is left out, so that nobody sees it: escape sequences that select no set or stand where there are
none, control characters (PS3.5 6.1.3), and byte order marks.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Final

_LATIN: Final = {
    "100": "latin_1",
    "101": "iso8859_2",
    "109": "iso8859_3",
    "110": "iso8859_4",
    "148": "iso8859_9",
    "203": "iso8859_15",
}
_OTHERS: Final = {
    "144": "iso8859_5",
    "127": "iso8859_6",
    "126": "iso8859_7",
    "138": "iso8859_8",
    "166": "iso8859_11",
    "13": "shift_jis",
    "192": "utf_8",
    # Double-byte sets: PS3.5 6.1.2.5 requires escapes, but many machines write them without.
    "87": "shift_jis",
    "159": "shift_jis",
    "149": "cp949",
    "58": "gb18030",
}
_NAMED: Final = {"GB18030": "gb18030", "GBK": "gb18030", "GB2312": "gb18030", "UTF-8": "utf_8", "UTF8": "utf_8"}
_TERM: Final = re.compile(r"ISO[ _-]*(?:2022[ _-]*)?IR[ _-]*([0-9]+)$")
_CHINESE: Final = "gb18030"

# PS3.3 tables C.12-3 and C.12-4: (bytes after ESC) → (half of the code table, codec, bytes per character).
_ESCAPE: Final = 0x1B
_ESCAPES: Final[dict[bytes, tuple[int, str, int]]] = {
    b"(B": (0, "ascii", 1),
    b"(J": (0, "ascii", 1),  # JIS X 0201 romaji: a backslash there is DICOM's delimiter, not a yen
    b")I": (1, "shift_jis", 1),
    b"-A": (1, "latin_1", 1),
    b"-B": (1, "iso8859_2", 1),
    b"-C": (1, "iso8859_3", 1),
    b"-D": (1, "iso8859_4", 1),
    b"-L": (1, "iso8859_5", 1),
    b"-G": (1, "iso8859_6", 1),
    b"-F": (1, "iso8859_7", 1),
    b"-H": (1, "iso8859_8", 1),
    b"-M": (1, "iso8859_9", 1),
    b"-b": (1, "iso8859_15", 1),
    b"-T": (1, "iso8859_11", 1),
    b"$B": (0, "euc_jp", 2),
    b"$@": (0, "euc_jp", 2),
    b"$(D": (0, "jis_x_0212", 2),
    b"$)C": (1, "cp949", 2),
    b"$)A": (1, "gb18030", 2),
}
# As ISO/IEC 2022 and 6429 write one: with intermediate bytes, or with parameters as terminals know it; else ESC alone.
_ANY_ESCAPE: Final = re.compile(rb"\x1b(?:[ -/]+(?:[0-~]|\Z)|\[[0-?]*[ -/]*[@-~])?")
_LINE_ENDS: Final = b"\r\n\f\t"
_PERSON_ENDS: Final = b"^=\\"
_FIRST_EAST_ASIAN: Final = "\u0800"  # from here UTF-8 takes three bytes; below, Chinese bytes may fit it by chance
_NEVER_IN_A_NAME: Final = dict.fromkeys((*range(0x20), 0x7F, 0xFEFF))
_NEVER: Final = {code: None for code in _NEVER_IN_A_NAME if chr(code) not in "\t\n\f\r"}
_TOGETHER: Final = re.compile(r"[^\x00-\x7f]+")
_MIXED: Final = re.compile(r"[A-Za-z][^\x00-\x7f]|[^\x00-\x7f][A-Za-z]")
_SYMBOLS_IN_G1: Final = (None, "latin_1", "iso8859_9", "iso8859_15")  # signs, not letters, from A1 to BF


def decode_text(value: bytes, charset: bytes, *, name: bool = False) -> str:
    """*value* as text, by the object's Specific Character Set; never raises, unreadable bytes become U+FFFD.

    *name*: a person's name (PN), in which each component starts again with the first set (PS3.5 6.1.2.5.3).
    """
    value = value.rstrip(b" \0")
    is_utf8 = value.startswith(codecs.BOM_UTF8)
    value = value.removeprefix(codecs.BOM_UTF8)
    if value.isascii() and _ESCAPE not in value:
        return _remove_forbidden(value.decode("ascii"), name)
    return _remove_forbidden(_decode(value, b"ISO_IR 192" if is_utf8 else charset, name), name)


def _remove_forbidden(text: str, name: bool) -> str:
    return text.translate(_NEVER_IN_A_NAME if name else _NEVER)


def _decode(value: bytes, charset: bytes, name: bool) -> str:
    terms = [_codec(term) for term in charset.decode("ascii", "replace").split("\\")]
    if _ESCAPE in value:
        value = _ANY_ESCAPE.sub(lambda found: found[0] if found[0][1:] in _ESCAPES else b"", value)
    if _ESCAPE in value:
        first = charset.partition(b"\\")[0]
        escapeless = terms[0] in ("utf_8", "gb18030") and b"2022" not in first
        if not escapeless and (first != charset or b"2022" in first):  # escapes are announced (PS3.3 C.12.1.1.2)
            return _decode_extensions(value, terms[0], name)
        if not _ends_within(value) and (value.isascii() or not escapeless):  # forgotten to be announced
            switched = _decode_extensions(value, None if escapeless else terms[0], name)
            if "\ufffd" not in switched:
                return switched
        value = _ANY_ESCAPE.sub(b"", value)
    declared = next((term for term in reversed(terms) if term is not None), None)
    if len(terms) > 1 and terms[0] in _LATIN.values():
        declared = terms[0]  # without an escape the first set applies
    # No set without escapes has the byte of “=” inside a character, so the groups of a name can be split first.
    return "=".join(_plain(group, declared) for group in value.split(b"="))


def _ends_within(value: bytes) -> bool:
    """Whether the last set that an escape selects for bytes below 0x80 has two bytes a character."""
    selected = [_ESCAPES[found[0][1:]] for found in _ANY_ESCAPE.finditer(value)]
    return next((width for half, _, width in reversed(selected) if half == 0), 1) == 2


def _codec(term: str) -> str | None:
    """The codec of one defined term, also when misspelt; None for the default repertoire."""
    term = term.strip(" \0").upper()
    numbered = _TERM.match(term)
    if numbered:
        return _LATIN.get(numbered[1]) or _OTHERS.get(numbered[1])
    return _NAMED.get(term)


def _plain(value: bytes, declared: str | None) -> str:
    if value.isascii():
        return value.decode("ascii")
    utf8 = _decode_strictly(value, "utf_8")
    doubtful = declared in (None, "utf_8", *_LATIN.values())
    if utf8 is not None:
        is_east_asian = max(utf8.rstrip("\ufffd"), default="") >= _FIRST_EAST_ASIAN
        by_chance = not is_east_asian and declared != "utf_8" and _is_whole_chinese(value)
        if is_east_asian or (doubtful and not by_chance):
            return utf8
    if doubtful:
        chinese = _decode_strictly(value, _CHINESE)
        if chinese is not None and (declared == "utf_8" or _looks_chinese(chinese.rstrip("\ufffd"), declared)):
            return chinese
    codec = declared or "latin_1"
    return _decode_strictly(value, codec) or value.decode(codec, "replace")


def _decode_strictly(value: bytes, codec: str) -> str | None:
    """*value* decoded strictly by *codec*, but for a last character that was cut off; None where that fails."""
    decoder = codecs.getincrementaldecoder(codec)("strict")
    try:
        text = decoder.decode(value)
    except UnicodeDecodeError:
        return None
    try:
        return text + decoder.decode(b"", final=True)
    except UnicodeDecodeError:  # PN and LO are cut after 64 characters, by some machines after 64 bytes
        return None if text.isascii() else text + "\ufffd"


def _looks_chinese(text: str, declared: str | None) -> bool:
    """Whether *text*, decoded as GB 18030, really is Chinese and not a Latin language.

    In Latin text letters beyond ASCII come singly or in pairs: never four in a row, nor two as a whole word.  One
    Chinese character whose second byte is ASCII proves nothing: “Müller” contains one by chance.
    """
    for word in _TOGETHER.finditer(text):
        solid = [not character.encode(_CHINESE)[1:].isascii() for character in word[0]]
        if not any(solid):
            continue
        before, after = text[word.start() - 1 : word.start()], text[word.end() : word.end() + 1]
        if sum(solid) >= 2 or not (before.isalpha() or after.isalpha()):
            return True
        if declared in _SYMBOLS_IN_G1 and any(0xA1 <= byte <= 0xBF for byte in word[0].encode(_CHINESE)):
            return True
    return False


def _is_whole_chinese(value: bytes) -> bool:
    """Whether *value* holds only common Chinese characters, and none of them next to an ASCII letter.

    The bytes of 女 in GBK are Ů in UTF-8.  Such coincidences are short; Polish and Czech words have ASCII letters.
    """
    text = _decode_strictly(value, "gb2312")
    return text is not None and _MIXED.search(text) is None


def _decode_extensions(value: bytes, first: str | None, name: bool) -> str:
    """*value* with code extensions (ISO 2022, PS3.5 6.1.2.5): escapes select a set for each half of the code table."""
    ends = _LINE_ENDS + (_PERSON_ENDS if name else b"\\")
    start: tuple[str, int] | None = (first, 2 if first in ("cp949", "gb18030") else 1) if first else None
    lower: tuple[str, int] = ("ascii", 1)
    upper = start
    text: list[str] = []
    at = 0
    while at < len(value):
        byte = value[at]
        if byte == _ESCAPE:
            escape = next(key for key in _ESCAPES if value.startswith(key, at + 1))
            half, codec, width = _ESCAPES[escape]
            lower, upper = ((codec, width), upper) if half == 0 else (lower, (codec, width))
            at += 1 + len(escape)
            continue
        if byte < 0x80 and (lower[1] == 1 or byte < 0x21):
            if byte in ends:
                lower = ("ascii", 1)
                # Without a set at the start there is none to return to: many machines announce theirs only once.
                upper = start or upper
            text.append(chr(byte))
            at += 1
            continue
        codec, width = lower if byte < 0x80 else upper or (_CHINESE, 2)
        text.append(_character(value[at : at + width], codec))
        at += width
    return "".join(text)


def _character(code: bytes, codec: str) -> str:
    if codec == "jis_x_0212":
        code, codec = b"\x8f" + bytes(byte | 0x80 for byte in code), "euc_jp"
    elif codec == "euc_jp":
        code = bytes(byte | 0x80 for byte in code)
    return code.decode(codec, "replace")


# The codec that the bytes may have been decoded with, and the right one.
_MISREADINGS: Final = (
    ("latin-1", "strict", "gb18030"),
    ("latin-1", "strict", "utf-8"),
    ("cp1252", "strict", "gb18030"),
    ("ascii", "surrogateescape", "gb18030"),
)


def possible_readings(text: str) -> Iterator[str]:
    """*text* unchanged, then what it may be when its bytes were wrongly decoded as Latin-1."""
    yield text
    if text.isascii():
        return
    for wrong, errors, right in _MISREADINGS:
        try:
            yield text.encode(wrong, errors).decode(right)
        except UnicodeError:
            continue
