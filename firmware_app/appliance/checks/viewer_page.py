"""What `lantern status` and `lantern doctor` say of the page: where it is, how it proves itself, whether it answers."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from firmware_app.appliance import certificate_authority, network_name, tls_front
from firmware_app.appliance.checks.check import Check, Section
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir

ORDER: Final = 120
NAMES: Final = {"page": N_("Certificate of the page")}
HANDBOOK: Final = Section(N_("Processes and the page"), ("front.*",))
_OK: Final = register(
    "front.ok", N_("The page {address} answers over TLS. Its authority's fingerprint (SHA-256): {fingerprint}")
)
_NONE: Final = register(
    "front.none",
    N_("The page has no certificate yet. It is made when the box starts: “systemctl restart lantern.target”."),
)
_SILENT: Final = register(
    "front.silent",
    N_(
        "The page does not answer over TLS on port {port} ({detail}). Restart the box; if it stays so, look at "
        "“journalctl -u lantern-web”."
    ),
)
_STRANGER: Final = register(
    "front.stranger",
    N_(
        "On port {port} answers a page with a certificate that this box has not made. Another web server has taken "
        "the port; stop it and restart the box."
    ),
)
_LEFT_OUT: Final = register(
    "front.left_out",
    N_(
        "[viewer] allowed_hosts names {name}, which the box's own certificate cannot cover, so browsers will warn "
        "there. Use {address}, or a name that ends in .local or .lan."
    ),
)
_ANSWER_S: Final = 5.0


def status(config: Config, state: StateDir) -> dict[str, Any] | None:
    """What `lantern status --json` prints under ``page``; None where no front stands before the viewer."""
    if not config.viewer.behind_front:
        return None
    return {
        "address": network_name.make_page_address(config),
        "fingerprint": certificate_authority.read_authority_fingerprint(state),
    }


def examine(config: Config, state: StateDir, port: int = int(tls_front.HTTPS)) -> Iterator[Check]:
    """Nothing is said where no front stands before the viewer."""
    if not config.viewer.behind_front:
        return
    issuer, fingerprint = (
        certificate_authority.load_authority(state),
        certificate_authority.read_authority_fingerprint(state),
    )
    if issuer is None or fingerprint is None:
        yield Check("page", "fail", Reason(_NONE))
        return
    try:
        shown = _fetch_certificate(port)
        shown.verify_directly_issued_by(issuer)
    except OSError as error:
        yield Check("page", "fail", Reason(_SILENT, {"port": port, "detail": error.strerror or "no TLS"}))
        return
    except (ValueError, TypeError, InvalidSignature):
        yield Check("page", "fail", Reason(_STRANGER, {"port": port}))
        return
    address = network_name.make_page_address(config)
    yield Check("page", "ok", Reason(_OK, {"address": address, "fingerprint": fingerprint}))
    named = set(certificate_authority.read_names(shown).dns)
    for name in config.viewer.allowed_hosts:
        if name.lower() not in named and not tls_front.is_address(name):
            yield Check("page", "warn", Reason(_LEFT_OUT, {"name": name, "address": address}))


def _fetch_certificate(port: int) -> x509.Certificate:
    """The certificate that a browser is shown here.  Its dates are not looked at: this clock may be wrong."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), _ANSWER_S) as raw, context.wrap_socket(raw) as connection:
        return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")
