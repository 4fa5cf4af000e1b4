"""Earlier studies of a patient, fetched from the clinic's archive: why there are none."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError
from firmware_app.core.language import N_


class EarlierError(LanternError):
    """The archive was not searched, or a study of it was not fetched; nothing of the case has changed."""


class EarlierNone(EarlierError):
    code = "earlier.none"
    sentence = N_(
        "No PACS is set up to be searched for earlier studies. Write its host, port and ae_title under [pacs] in the "
        "configuration, set query = true, and restart the box."
    )


class EarlierNoNumber(EarlierError):
    code = "earlier.no_number"
    sentence = N_(
        "This case has no patient number, and a PACS is searched by nothing else. Enter the number on the case's page."
    )


class EarlierUnanswered(EarlierError):
    """*detail* is the code of the `PacsError`."""

    code = "earlier.unanswered"
    sentence = N_(
        "The PACS {pacs} could not be searched ({detail}). `lantern doctor` says what is wrong with the connection. "
        "Then search again."
    )
    pacs: str
    detail: str


class EarlierRefused(EarlierError):
    code = "earlier.refused"
    sentence = N_(
        "The PACS {pacs} refused the search (status {status}). Ask its administrator whether this box may search and "
        "fetch (Query/Retrieve, Study Root, C-FIND and C-GET)."
    )
    pacs: str
    status: str


class EarlierNoGet(EarlierError):
    code = "earlier.no_get"
    sentence = N_(
        "The PACS {pacs} hands out no images on the connection that asks for them (C-GET). Have its administrator "
        "allow that, or send the study to this box from the PACS."
    )
    pacs: str


class EarlierIncomplete(EarlierError):
    code = "earlier.incomplete"
    sentence = N_(
        "Images of this study that the PACS {pacs} has: {images}; here: {kept}. The page “Refused or set "
        "aside” says why the others are not. Fetch the study again to get the rest."
    )
    pacs: str
    images: int
    kept: int


class EarlierUnknown(EarlierError):
    code = "earlier.unknown"
    sentence = N_("There is no such study in the list. `lantern case earlier CASE` shows all, each with its number.")
