"""Sends a Bundle to the clinic's FHIR server as a transaction, of which it takes all or nothing (FHIR R4, 3.1.0.11)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import urllib3

from firmware_app.core.errors import FhirOff, FhirRefused, FhirUnreachable
from firmware_app.core.settings import FhirSection, tls_files
from firmware_app.results.fhir.coding import Json

_SECONDS: Final = 30.0
_LARGEST_ANSWER: Final = 4_000_000
_TYPE: Final = "application/fhir+json"


def send(bundle: Json, settings: FhirSection) -> None:
    """Return when the server has taken the whole *bundle*; sending it again changes nothing there.

    Raises `FhirOff` without a server, `FhirUnreachable` and `FhirRefused`.
    """
    if not settings.url:
        raise FhirOff
    headers = {"Content-Type": f"{_TYPE}; charset=utf-8", "Accept": _TYPE, **_authorization(settings)}
    body = json.dumps(bundle, ensure_ascii=False).encode("utf-8")
    host = urllib3.util.parse_url(settings.url).host or settings.url
    authority = str(settings.tls_ca) if settings.tls_ca is not None else None  # None: the system's
    with urllib3.PoolManager(timeout=_SECONDS, retries=False, ca_certs=authority) as pool:
        try:
            answer = pool.request(
                "POST", settings.url, body=body, headers=headers, preload_content=False, redirect=False
            )
            said = answer.read(_LARGEST_ANSWER)
            answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise FhirUnreachable(host=host, detail=_authority_fault(settings) or type(error).__name__) from None
    codes = list(_codes(said))
    if answer.status // 100 != 2 or not all(code.startswith("2") for code in codes if code[:1].isdigit()):
        raise FhirRefused(host=host, status=answer.status, detail=", ".join(dict.fromkeys(codes))[:200] or "-")


def _authority_fault(settings: FhirSection) -> str | None:
    """The key and the path of a file of authorities that cannot be used."""
    at = {"key": "fhir.tls_ca", "place": ""}
    if settings.tls_ca is None or not any(tls_files.certificate_findings(settings.tls_ca, at)):
        return None
    return f"fhir.tls_ca: {settings.tls_ca}"


def _authorization(settings: FhirSection) -> dict[str, str]:
    if settings.token is None:
        return {}
    try:
        token = Path(settings.token).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise FhirUnreachable(host=f"fhir.token: {settings.token}", detail=type(error).__name__) from None
    return {"Authorization": f"Bearer {token}"}


def _codes(said: bytes) -> Iterator[str]:
    """The status of each entry of a transaction's answer, or the codes of an OperationOutcome.

    Its free text is left alone: it may quote the patient's name.
    """
    try:
        told: Any = json.loads(said)
    except ValueError:
        return
    if not isinstance(told, dict):
        return
    for one in told.get("entry") or []:
        yield str((one.get("response") or {}).get("status", ""))[:3]
    for one in told.get("issue") or []:
        yield str(one.get("code", ""))
