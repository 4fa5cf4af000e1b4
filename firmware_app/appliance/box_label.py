"""The printed label of a box, as HTML: the address of its page, and the fingerprint by which a phone recognises it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from typing import Final

import segno

from firmware_app.core.language import N_, html_tag, translate

_STYLE: Final = (
    "body{margin:8mm;font:10pt/1.4 sans-serif}"
    ".label{display:inline-flex;gap:4mm;width:88mm;min-height:50mm;padding:4mm;border:.3mm solid #000}"
    ".label{break-inside:avoid}"
    ".label svg{width:34mm;height:34mm;flex:none}.label b{font-size:13pt}"
    ".mono{font-family:monospace;overflow-wrap:anywhere}.fine{font-size:7pt}"
)
_PAGE: Final = N_("Page")
_FINGERPRINT: Final = N_("Fingerprint of the box's certificate (SHA-256)")
_NO_CERTIFICATE: Final = N_("none yet: print this label again when the box has started once")
_LIMIT: Final = N_("Not for diagnostic use without a doctor.")


def make_label(box: str, clinic: str, address: str, fingerprint: str | None, language: str) -> str:
    """The label; *fingerprint* is the certificate's, and a box that has none yet says so."""
    aim = f"{address}#sha256={fingerprint.replace(':', '')}" if fingerprint else address
    lines = [(_PAGE, address), (_FINGERPRINT, fingerprint or translate(_NO_CERTIFICATE, language))]
    return make_label_page(f"Lantern {box}", language, [make_label_block(box, clinic, aim, lines, language)])


def make_label_block(box: str, clinic: str, aim: str, lines: Sequence[tuple[str, str]], language: str) -> str:
    """One label: the QR code of *aim* beside the facts."""
    facts = "".join(
        f"<div>{escape(translate(what, language))}<div class=mono>{escape(value)}</div></div>" for what, value in lines
    )
    return (
        f"<div class=label>{draw_qr(aim)}<div><b>{escape(clinic)}</b><div class=mono>{escape(box)}</div>{facts}"
        f"<div class=fine>{escape(translate(_LIMIT, language))}</div></div></div>"
    )


def draw_qr(text: str) -> str:
    """*text* as a QR code in SVG, for a page."""
    image = io.BytesIO()
    segno.make_qr(text, error="m").save(image, kind="svg", xmldecl=False, svgns=True, border=2, omitsize=True)
    return image.getvalue().decode("utf-8")


def make_label_page(title: str, language: str, labels: Sequence[str]) -> str:
    """A page of *labels* that needs nothing from elsewhere."""
    head = f"<meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang={html_tag(language)}><head>{head}</head><body>{''.join(labels)}</body></html>\n"
