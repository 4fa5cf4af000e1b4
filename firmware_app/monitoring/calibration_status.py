"""What every case says of how far its pack has proved itself at this clinic."""

from __future__ import annotations

from typing import Final

from firmware_app.core.language import N_, register
from firmware_app.core.records import Case, LocalState, Reason
from firmware_app.monitoring.errors import PACK_UNFIT_HERE

PROVISIONAL: Final = register(
    "calibration.provisional",
    N_(
        "Provisional: how well the model “{pack}” reads films of this machine has not been checked at this clinic yet. "
        "Its numbers come from films of other hospitals."
    ),
)
CALIBRATED: Final = register(
    "calibration.calibrated",
    N_(
        "The model “{pack}” was checked with this clinic's own films of this machine and works with the threshold that "
        "the clinic has confirmed."
    ),
)
_CODES: Final = {
    LocalState.SUSPENDED: PACK_UNFIT_HERE.code,
    LocalState.PROVISIONAL: PROVISIONAL,
    LocalState.CALIBRATED: CALIBRATED,
}


def explain_calibration(case: Case) -> tuple[LocalState, Reason] | None:
    """The least proven state among the case's readings, and its sentence; ``None`` where no pack was chosen."""
    for state, code in _CODES.items():
        for reading in case.readings:
            if reading.local is state:
                named = (
                    reading.pack.name if reading.pack else str((reading.reason or Reason("")).details.get("pack", ""))
                )
                return state, Reason(code, {"pack": named})
    return None
