"""Header text in the language it was written in: Specific Character Set (PS3.3 C.12.1.1.2), declared or not."""

from __future__ import annotations

from typing import Final

# Without extensions the defined term alone names the codec; with code extensions ("ISO 2022 …") the escape sequences
# choose among the named sets.  G1 sets of GB 2312 and KS X 1001 are plain double bytes once the escapes are gone.
_CODECS: Final = {
    "ISO_IR 100": "latin_1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 127": "iso8859_6",
    "ISO_IR 126": "iso8859_7",
    "ISO_IR 138": "iso8859_8",
    "ISO_IR 148": "iso8859_9",
    "ISO_IR 203": "iso8859_15",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 166": "iso8859_11",
    "ISO_IR 192": "utf_8",
    "GB18030": "gb18030",
    "GBK": "gb18030",
    "ISO_IR 87": "iso2022_jp_2",
    "ISO_IR 159": "iso2022_jp_2",
    "ISO_IR 149": "euc_kr",
    "ISO_IR 58": "gb18030",
}
_ESCAPES: Final = (b"\x1b$)C", b"\x1b$)A", b"\x1b-A", b"\x1b-B", b"\x1b-L", b"\x1b-F", b"\x1b(B")


def decoded(value: bytes, charset: bytes) -> str:
    """*value* as text, by the object's Specific Character Set; never raises, unreadable bytes become U+FFFD.

    Chinese consoles often write GBK and declare nothing: bytes beyond ASCII are then tried as UTF-8 and GB 18030.
    """
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii")
    terms = [term.strip().replace("ISO 2022 IR ", "ISO_IR ") for term in charset.decode("ascii", "replace").split("\\")]
    codecs = [_CODECS[term] for term in terms if term in _CODECS]
    if not codecs:
        return _undeclared(value)
    if "iso2022_jp_2" not in codecs:
        for escape in _ESCAPES:
            value = value.replace(escape, b"")
    return value.decode(codecs[-1], "replace")


def _undeclared(value: bytes) -> str:
    for codec in ("utf_8", "gb18030"):
        try:
            return value.decode(codec)
        except UnicodeDecodeError:
            continue
    return value.decode("latin_1")
