"""The front: nginx before the viewer, which speaks TLS so that the viewer need not.

    python -m firmware_app.appliance.tls_front certificate    as root: the page's certificate, and what the console
    shows python -m firmware_app.appliance.tls_front configuration  as the front's user: its nginx.conf, from the
    template

nginx's file follows from the box's configuration alone, and is written at every start.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import socket as sockets
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import segno

from firmware_app.appliance import certificate_authority, network_name
from firmware_app.appliance.certificate_authority import Address, AuthorityFiles, PageNames
from firmware_app.appliance.errors import FRONT_NEEDS_PORT
from firmware_app.core import programs
from firmware_app.core.errors import LanternError
from firmware_app.core.programs import ProgramFailed
from firmware_app.core.settings import Config, DicomwebSection, load_config
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.dicomweb import INSTALLED_SOCKET

TEMPLATE: Final = Path("/opt/lantern/share/nginx.conf.in")
ISSUE: Final = Path("/run/issue.d/lantern.issue")  # agetty(8) shows it above its log-in
HTTPS: Final = "443"
HTTP: Final = "80"
_NO_DICOMWEB: Final = DicomwebSection()
_DICOMWEB: Final = re.compile(r"^ *# dicomweb: begin\n.*?# dicomweb: end\n", re.DOTALL | re.MULTILINE)
_IPV6: Final = Path("/proc/net/if_inet6")
_LOOK_S: Final = 5.0


# --- names --------------------------------------------------------------------------------------------------------


def collect_page_names(config: Config) -> PageNames:
    """The names and addresses by which browsers may ask for this box."""
    own = sockets.gethostname().lower()
    hosts = [
        f"{network_name.make_mdns_host(config.box.id)}.local",
        own,
        f"{own.split('.')[0]}.local",
        "localhost",
    ]  # also its own screen
    hosts += config.viewer.allowed_hosts
    # RFC 1123 2.1; a label that a certificate cannot hold is no name that a browser can ask for.
    plain = (name.lower() for name in hosts if name.isascii() and "_" not in name and not is_address(name))
    return PageNames(tuple(dict.fromkeys(plain)), list_addresses())


def list_addresses() -> tuple[Address, ...]:
    """The machine's addresses for other machines, without those that IPv6 changes every day (RFC 8981)."""
    try:
        links = json.loads(programs.run_program("ip", "-json", "address", "show", seconds=_LOOK_S))
    except (ProgramFailed, ValueError):
        return ()
    return tuple(
        ip_address(one["local"])
        for link in links
        for one in link.get("addr_info", ())
        if not one.get("temporary")
        and (one.get("scope") == "global" or (one["family"] == "inet" and one.get("scope") == "link"))
    )


def is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


# --- what a person compares ---------------------------------------------------------------------------------------


def make_trust_url(config: Config, fingerprint: str) -> str:
    """The text of the QR code: the address of the authority's certificate, and the fingerprint to compare."""
    host = next(
        (str(address) for address in list_addresses() if address.version == 4),
        f"{network_name.make_mdns_host(config.box.id)}.local",
    )
    return f"http://{host}/{AuthorityFiles(Path()).public.name}#sha256={fingerprint.replace(':', '')}"


def format_page_card(config: Config, state: StateDir) -> str | None:
    """For the console and the terminal: the addresses of the page, the fingerprint in words and as a QR code."""
    fingerprint = certificate_authority.read_authority_fingerprint(state)
    if fingerprint is None:
        return None
    drawn = io.StringIO()
    target = make_trust_url(config, fingerprint)
    segno.make_qr(target, error="l").terminal(drawn, compact=True)
    where = [
        network_name.make_page_address(config),
        *(f"https://{address}/" for address in list_addresses() if address.version == 4),
    ]
    return (
        f"Lantern: {'  '.join(where)}\nTo trust this page, a phone opens {target.partition('#')[0]}\n"
        f"and shows this fingerprint (SHA-256):\n{fingerprint}\n{drawn.getvalue()}"
    )


# --- nginx --------------------------------------------------------------------------------------------------------


def fill_template(
    template: str,
    *,
    viewer: int,
    state: Path,
    run: Path,
    share: Path,
    https: str = HTTPS,
    http: str = HTTP,
    dicomweb: DicomwebSection = _NO_DICOMWEB,
    socket: Path = INSTALLED_SOCKET,
) -> str:
    """*template* with its ``@NAMES@`` filled in; raises `FRONT_NEEDS_PORT` when the viewer's port is not fixed."""
    if viewer == 0:
        raise FRONT_NEEDS_PORT()
    if ":" in https or not _IPV6.exists():  # an IPv4 address is configured, or this kernel has no IPv6
        template = "".join(line for line in template.splitlines(keepends=True) if "[::]" not in line)
    if not dicomweb.enabled:
        template = _DICOMWEB.sub("", template)
    files = AuthorityFiles(state)
    for name, value in {
        "CLIENT_CA": dicomweb.client_ca,
        "MOST": dicomweb.max_request_mb,
        "DICOMWEB": socket,
        "VIEWER": viewer,
        "HTTPS": https,
        "HTTP": http,
        "RUN": run,
        "SHARE": share,
        "SERVER": files.server,
        "PUBLIC": files.public,
    }.items():
        template = template.replace(f"@{name}@", str(value))
    return template


def _write_certificate(config: Config) -> None:
    state = StateDir(config.state.dir)
    # The machine's own clock will do: authority.py leans on no date being right.
    changed = certificate_authority.prepare_certificates(state, collect_page_names(config), datetime.now(UTC))
    if (shown := format_page_card(config, state)) and (changed or not ISSUE.exists()):
        ISSUE.parent.mkdir(parents=True, exist_ok=True)
        ISSUE.write_text(shown, "utf-8")
    print("The certificate of the page was made." if changed else "The certificate of the page is as it should be.")


def _write_configuration(config: Config, template: Path) -> None:
    run = Path(os.environ.get("RUNTIME_DIRECTORY", "/run/lantern-web"))
    text = fill_template(
        template.read_text("utf-8"),
        viewer=config.viewer.port,
        state=config.state.dir,
        run=run,
        share=template.parent,
        dicomweb=config.dicomweb,
    )
    (run / "nginx.conf").write_text(text, "utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m firmware_app.appliance.tls_front", description="The TLS front's files."
    )
    parser.add_argument("what", choices=("certificate", "configuration"))
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: /etc/lantern/lantern.toml")
    parser.add_argument("--template", type=Path, metavar="FILE", default=TEMPLATE, help="of nginx.conf")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config)
        if options.what == "certificate":
            _write_certificate(config)
        else:
            _write_configuration(config, options.template)
    except LanternError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
