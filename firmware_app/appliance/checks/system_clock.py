"""The state of the box's clock, in sentences, and what follows for the box's certificates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from firmware_app.appliance.checks.check import Check, Section
from firmware_app.core import certificates, clock
from firmware_app.core.clock import ClockStatus, Condition
from firmware_app.core.clock_memory import TimeSource
from firmware_app.core.language import N_, register
from firmware_app.core.records import Detail, Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir

ORDER: Final = 20
NAMES: Final = {"clock": N_("Clock")}
HANDBOOK: Final = Section(N_("The clock"), ("clock.*",))
_BY_SOURCE: Final[Mapping[TimeSource, str]] = {
    TimeSource.HOSPITAL: register("clock.hospital", N_("It is {time}; the hospital's receipt has told it.")),
    TimeSource.HOSPITAL_ALONE: register(
        "clock.hospital_alone",
        N_(
            "The hospital says that it is {time}. Nothing else on this box confirms that, so its times are marked. If "
            "it is right, confirm it: “lantern clock set”."
        ),
    ),
    TimeSource.NETWORK: register("clock.network", N_("It is {time}; network time (NTP) tells it.")),
    TimeSource.PERSON: register("clock.person", N_("It is {time}; a person has set it.")),
    TimeSource.BATTERY: register(
        "clock.battery", N_("It is {time}; the machine's battery clock has kept it while the box was off.")
    ),
}
_UNCONFIRMED: Final = register(
    "clock.unconfirmed",
    N_(
        "The box takes it to be {time}. Nobody has confirmed that since it was switched on, so its times are marked. "
        "The hospital's next receipt or network time (NTP) confirms it, or you: “lantern clock set”."
    ),
)
_BEHIND: Final = register(
    "clock.behind",
    N_(
        "The machine's clock shows {machine}, which has long passed: its battery is empty or missing. The box counts "
        "on from the latest time that it has seen, {time}, and marks its times. Set it with “lantern clock set”; a new "
        "battery keeps it set."
    ),
)
_AHEAD: Final = register(
    "clock.ahead",
    N_(
        "The machine's clock shows {machine}, more than a year later than any time that this box has seen, so it is "
        "not used. The box uses {time} and marks its times. Set the right time with “lantern clock set”."
    ),
)
_DISAGREES: Final = register(
    "clock.disagrees",
    N_(
        "It is {time}, but the machine's own clock shows {machine}. The box does not go by it; other programs on this "
        "machine do. Set it, for example with “timedatectl set-time”."
    ),
)
_CERTIFICATE_OK: Final = register("clock.certificate_ok", N_("The certificate {certificate} is valid until {ends}."))
_CERTIFICATE_SOON: Final = register(
    "clock.certificate_soon",
    N_("The certificate {certificate} ends on {ends}. Have it renewed before then by whoever issued it."),
)
_SOON: Final = timedelta(days=30)


def describe_clock(standing: ClockStatus) -> Reason:
    """The sentence for how the clock is."""
    time, machine = standing.stamp.minute, clock.Stamp(standing.machine, trusted=True).minute
    if standing.condition is Condition.TRUSTED:
        return Reason(_BY_SOURCE[standing.source], {"time": time})
    if standing.source is TimeSource.HOSPITAL_ALONE:
        return Reason(_BY_SOURCE[standing.source], {"time": time})
    if standing.condition is Condition.UNCONFIRMED:
        return Reason(_UNCONFIRMED, {"time": time})
    code = {Condition.BEHIND: _BEHIND, Condition.AHEAD: _AHEAD, Condition.DISAGREES: _DISAGREES}[standing.condition]
    return Reason(code, {"time": time, "machine": machine})


def examine(config: Config, state: StateDir) -> Iterator[Check]:
    """What the doctor says."""
    standing = clock.current_clock().status()
    yield Check("clock", "ok" if standing.condition is Condition.TRUSTED else "warn", describe_clock(standing))
    files = [config.dicom.tls_cert, config.dicom.tls_ca]
    if config.uplink.enabled:
        files += [config.uplink.tls_ca, config.uplink.tls_cert]
    for path in files:
        if path is not None:
            yield from _check_certificate(path)


def _check_certificate(path: Path) -> Iterator[Check]:
    wrong = list(certificates.list_date_problems(path))
    for error in wrong:
        yield Check("clock", "warn", Reason.from_error(error))
    if wrong:
        return
    try:
        ends = min(
            certificate.not_valid_after_utc for certificate in x509.load_pem_x509_certificates(path.read_bytes())
        )
    except (OSError, ValueError):
        return  # whoever uses the file says that it cannot be used
    about: dict[str, Detail] = {"certificate": path.name, "ends": f"{ends:%Y-%m-%d}"}
    soon = ends - clock.now() < _SOON
    yield Check("clock", "warn" if soon else "ok", Reason(_CERTIFICATE_SOON if soon else _CERTIFICATE_OK, about))


def status() -> dict[str, Any]:
    """What `lantern status --json` and `lantern clock show --json` print of the clock."""
    standing = clock.current_clock().status()
    return {
        "time": standing.stamp.text("seconds"),
        "trusted": standing.stamp.trusted,
        "source": standing.source.value,
        "condition": standing.condition.value,
        "code": describe_clock(standing).code,
        "since": standing.learned.isoformat(timespec="seconds") if standing.learned else None,
        "machine": standing.machine.isoformat(timespec="seconds"),
    }
