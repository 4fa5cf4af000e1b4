"""Provisioning files for boxes that are not there yet: one signed file for each, and a sheet of labels.

The list is a CSV as a spreadsheet writes it.  All of it is checked before the first file is written. The same list
gives the same codes again, and files that are still valid are kept, so a printed sheet stays valid.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import os
import secrets
import time
import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, Final

import segno

from firmware_app.core.errors import LanternError
from firmware_app.core.language import LANGUAGES, N_, html_tag, translate
from firmware_app.uplink.errors import MessageInvalid
from firmware_app.uplink.messages.envelope import (
    HospitalBundle,
    Provisioning,
    ProvisioningFinder,
    SignedProvisioning,
    compute_claim_mark,
    is_findable,
)
from firmware_app.uplink.messages.summary import decode
from hospital import keyring
from hospital.errors import KEYS_MISSING, ROW_UNUSABLE
from hospital.hospital_site import HospitalSite

SUFFIX: Final = ".lantern.json"
LABEL_SHEET: Final = "labels.html"
DAYS: Final = 90
_DAY_S: Final = 86_400
_MOST_ROWS: Final = 10_000
_NO_BOX: Final = "unprovisioned"  # what a box without an identity is called
_ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # as the box's own codes: without 0 O, 1 I L, U
_CODE_CHARACTERS: Final = 12
_DEFAULTS: Final[Mapping[str, str]] = {
    "language": "zh_CN",
    "zone": "Asia/Shanghai",
    "ae_title": "LANTERN",
    "calling": "",
    "pacs_host": "",
    "pacs_port": "104",
    "pacs_ae_title": "PACS",
    "device": "",
}
LIST_COLUMNS: Final = ("box", "clinic", *_DEFAULTS)


@dataclass(frozen=True, slots=True)
class PreparedBox:
    """One box that a file was made for."""

    box: str
    clinic: str
    language: str
    file: Path
    code: str
    kept: bool
    """Whether the file was there already and still holds."""


Row = tuple[int, Mapping[str, str]]
"""The number of its line, and what the columns hold."""


def read_box_list(path: Path) -> list[Row]:
    """The lines of the list at *path*, whose first names the columns: at least box, clinic.  Raises `ROW_UNUSABLE`."""
    reader = csv.DictReader(io.StringIO(_read_text(path), newline=""))
    named = [name.strip() for name in reader.fieldnames or ()]
    strange = [name for name in named if name not in LIST_COLUMNS]
    if strange or not {"box", "clinic"} <= set(named):
        wanted = f"the columns are {', '.join(LIST_COLUMNS)}; box and clinic must be there"
        raise ROW_UNUSABLE(file=path.name, line=1, detail=f"{strange[0]!r}: {wanted}" if strange else wanted)
    reader.fieldnames = named
    listed: list[Row] = []
    for row in reader:
        if None in row or len(listed) == _MOST_ROWS:
            raise ROW_UNUSABLE(file=path.name, line=reader.line_num, detail="it has more fields than the first line")
        plain = {name: (value or "").strip() for name, value in row.items()}
        if any(plain.values()):
            listed.append((reader.line_num, plain))
    return listed


def write_provisioning_files(
    site: HospitalSite, list_name: str, wanted: Sequence[Row], out: Path, days: int
) -> list[PreparedBox]:
    """Write a file for each of *wanted* and the sheet of labels into *out*; raises `ROW_UNUSABLE` or `KEYS_MISSING`."""
    keys, bundle = keyring.load_keys(site.keys), site.load_bundle()
    secret, now = load_code_secret(site), int(time.time())
    checked = [
        _parse_row(list_name, line, {**_DEFAULTS, **{name: value for name, value in row.items() if value}}, bundle)
        for line, row in wanted
    ]
    _refuse_repeated_boxes(list_name, wanted)
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    made: list[PreparedBox] = []
    for one in checked:
        file, code = out / f"{one['box']}{SUFFIX}", derive_label_code(secret, one["box"])
        kept = _is_still_valid(file, one, now + days * _DAY_S // 2)
        if not kept:
            nonce = ProvisioningFinder(code, bundle.verify).make_nonce(one["box"])
            mark = compute_claim_mark(code, nonce, one["box"], bundle.verify)
            times = {"nonce": nonce, "made": now, "expires": now + days * _DAY_S}
            signed = SignedProvisioning.create(Provisioning(**{**one, **times, "claim": mark}), keys.signer)
            _write_whole(file, signed.encode() + b"\n")
        made.append(
            PreparedBox(box=one["box"], clinic=one["clinic"], language=one["language"], file=file, code=code, kept=kept)
        )
    _record_labels(site, made)
    _write_whole(out / LABEL_SHEET, render_label_sheet(made, bundle).encode("utf-8"))
    return made


# --- the list ---------------------------------------------------------------------------------------------------------


def _read_text(path: Path) -> str:
    """The list as text.  Excel writes UTF-8 with a mark, or in China GB18030."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ROW_UNUSABLE(file=path.name, line=0, detail=error.strerror or str(error)) from None
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ROW_UNUSABLE(file=path.name, line=0, detail="it is neither UTF-8 nor GB18030")


def _parse_row(list_name: str, line: int, row: Mapping[str, str], hospital: HospitalBundle) -> dict[str, Any]:
    """The fields of a file but for its code and its times, each of the form that a box takes."""
    fields: dict[str, Any] = {"box": "", "clinic": "", **row, "hospital": hospital}
    if row["language"] not in LANGUAGES:
        raise ROW_UNUSABLE(file=list_name, line=line, detail=f"language = {row['language'][:40]!r}")
    if row["zone"] not in (_zones() or (row["zone"],)):  # a machine without a list leaves it to the box
        raise ROW_UNUSABLE(file=list_name, line=line, detail=f"zone = {row['zone'][:40]!r}")
    if row["box"] == _NO_BOX:
        raise ROW_UNUSABLE(file=list_name, line=line, detail=f"box = {row['box']!r}")
    fields["calling"] = tuple(part.strip() for part in row["calling"].replace(",", ";").split(";") if part.strip())
    fields["pacs_port"] = int(row["pacs_port"]) if row["pacs_port"].isdecimal() else -1
    try:
        Provisioning(**fields, claim="0" * 64, nonce="0" * 32, made=0, expires=0)
    except MessageInvalid as error:
        shown = row.get(error.field, "")
        raise ROW_UNUSABLE(file=list_name, line=line, detail=f"{error.field} = {shown[:40]!r}") from None
    return fields


@cache
def _zones() -> frozenset[str]:
    """The time zones that this machine knows."""
    return frozenset(zoneinfo.available_timezones())


def _refuse_repeated_boxes(list_name: str, wanted: Sequence[Row]) -> None:
    seen: set[str] = set()
    for line, row in wanted:
        if row["box"] in seen:
            raise ROW_UNUSABLE(file=list_name, line=line, detail=f"there is another box {row['box']}")
        seen.add(row["box"])


def _is_still_valid(file: Path, wanted: Mapping[str, Any], moment: int) -> bool:
    """Whether *file* says what is wanted, is ours and still holds at *moment*."""
    try:
        signed = decode(file.read_bytes().strip(), SignedProvisioning)
        signed.check_signature()
    except (OSError, LanternError):
        return False
    if not is_findable(signed.content.nonce):  # of an earlier version; the code of its label stays the same
        return False
    same = all(getattr(signed.content, name) == value for name, value in wanted.items())
    return same and moment < signed.content.expires


def _record_labels(site: HospitalSite, made: Sequence[PreparedBox]) -> None:
    """Have the inbox know which boxes have a label, and until when its code enrols them (`box_enrolment`)."""
    ends = [
        (prepared_box.box, decode(prepared_box.file.read_bytes().strip(), SignedProvisioning).content.expires)
        for prepared_box in made
    ]
    with closing(site.open_inbox()) as inbox, inbox.transaction() as connection:
        connection.executemany(
            "INSERT INTO label_codes (box, expires) VALUES (?, ?)"
            " ON CONFLICT (box) DO UPDATE SET expires = max(expires, excluded.expires)",
            ends,
        )


# --- codes ------------------------------------------------------------------------------------------------------------


def load_code_secret(site: HospitalSite) -> bytes:
    """The secret from which the codes are derived; made once, and as secret as the signing key beside it."""
    file = site.keys / "codes.key"
    if not site.keys.is_dir():
        raise KEYS_MISSING(path=str(site.root))
    if not file.exists():
        keyring.write_private(file, secrets.token_bytes(32))
    return file.read_bytes()


def derive_label_code(secret: bytes, box: str) -> str:
    """The code of a box: derived from the secret, always the same, 58 bits."""
    number = int.from_bytes(hmac.new(secret, b"claim\x00" + box.encode(), hashlib.sha512).digest())
    drawn = ""
    for _ in range(_CODE_CHARACTERS):
        number, place = divmod(number, len(_ALPHABET))
        drawn += _ALPHABET[place]
    return "-".join(drawn[start : start + 4] for start in range(0, _CODE_CHARACTERS, 4))


# --- the sheet --------------------------------------------------------------------------------------------------------

_STYLE: Final = (
    "body{margin:8mm;font:10pt/1.35 sans-serif;display:flex;flex-wrap:wrap;gap:3mm}"
    "div.label{display:flex;gap:4mm;width:88mm;min-height:48mm;padding:3mm;border:.3mm solid #000;break-inside:avoid}"
    ".label svg{width:32mm;height:32mm;flex:none}.label b{font-size:12pt;overflow-wrap:anywhere}"
    ".mono{font-family:monospace;overflow-wrap:anywhere}.code{font:bold 13pt monospace}.fine{font-size:7pt}"
)
_PAGE: Final = N_("Page")
_CODE: Final = N_("One-time code (keep it to yourself)")
_FINGERPRINT: Final = N_("Fingerprint of the hospital")
_LIMIT: Final = N_("Not for diagnostic use without a doctor.")


def render_label_sheet(made: Sequence[PreparedBox], hospital: HospitalBundle) -> str:
    """The labels of all boxes as one page to print; it holds every code, so it is kept like a key."""
    head = f"<meta charset=utf-8><title>Lantern</title><style>{_STYLE}</style>"
    return f"<!doctype html><html><head>{head}</head><body>{''.join(_render_labels(made, hospital))}</body></html>\n"


def _render_labels(made: Sequence[PreparedBox], hospital: HospitalBundle) -> Iterator[str]:
    for prepared_box in made:
        address = f"https://lantern-{prepared_box.box}.local/"
        page, code, fingerprint, limit = (
            translate(message, prepared_box.language) for message in (_PAGE, _CODE, _FINGERPRINT, _LIMIT)
        )
        yield (
            f"<div class=label lang={html_tag(prepared_box.language)}>{_draw_qr_code(address)}<div>"
            f"<b>{escape(prepared_box.clinic)}</b><div class=mono>{prepared_box.box}</div>"
            f"<div>{page}<div class=mono>{address}</div></div>"
            f"<div>{code}<div class=code>{prepared_box.code}</div></div>"
            f"<div>{fingerprint}<div class=mono>{hospital.fingerprint}</div></div>"
            f"<div class=fine>{limit}</div></div></div>"
        )


def _draw_qr_code(text: str) -> str:
    image = io.BytesIO()
    segno.make_qr(text, error="m").save(image, kind="svg", xmldecl=False, svgns=True, border=2, omitsize=True)
    return image.getvalue().decode("utf-8")


def _write_whole(path: Path, data: bytes) -> None:
    """Write a file atomically, readable by its owner only: the sheet holds the codes."""
    fresh = path.with_name(f".{path.name}.new")
    keyring.write_private(fresh, data)
    os.replace(fresh, path)
