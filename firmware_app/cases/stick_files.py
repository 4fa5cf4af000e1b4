"""Why files of a stick were not accepted: a sentence for each reason, with the number of files and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from firmware_app.core.errors import (
    EndNotMarked,
    FileEmpty,
    FileGarbled,
    FileOfZeros,
    FileUnreadable,
    HeaderConflict,
    IdentityMalformed,
    IdentityMissing,
    IdentityTooLong,
    InstanceConflict,
    Malformed,
    NestedTooDeep,
    NotAnImage,
    NotARegularFile,
    ObjectTooLarge,
    PackedArchive,
    PhonePicture,
    PixelLengthMismatch,
    TransferSyntaxRefused,
    Truncated,
)
from firmware_app.core.language import N_, translate

_CUT_OFF: Final = N_("Damaged images, which end too early: {count}. Copy them again from the machine.")
_BROKEN: Final = N_("Damaged images, whose contents are broken or erased: {count}. Copy them again from the machine.")
_EMPTY: Final = N_("Images of which only the name is left: {count}. Copy them again from the machine.")
_UNREADABLE: Final = N_(
    "Files or folders that could not be read: {count}. Put the stick in again; if it stays so, copy the images to "
    "another stick."
)
_COMPRESSION: Final = N_(
    "Images in a compression that the box does not take: {count}. Have the machine save them uncompressed or as JPEG."
)
_LARGE: Final = N_("Images larger than this box accepts: {count}. Call the technician.")
_OTHERWISE: Final = N_(
    "Images that are here already and differ: {count}. The first is used; if that is wrong, correct it in the viewer."
)
_NO_IDENTITY: Final = N_("Images without a valid identity: {count}. Export them again from the machine.")
_PACKED: Final = N_("Packed archives, which the box does not open: {count}. Unpack them, and copy the images alone.")
_OF_A_PHONE: Final = N_("Pictures as phones store them (HEIC, AVIF): {count}. Save them as JPEG or PNG.")
_REFUSED: Final = N_("Files refused for another reason ({code}): {count}.")

_SENTENCES: Final = {
    error.code: sentence
    for sentence, errors in (
        (_CUT_OFF, (Truncated, EndNotMarked, PixelLengthMismatch)),
        (_BROKEN, (Malformed, NestedTooDeep, FileGarbled, NotAnImage)),
        (_EMPTY, (FileEmpty, FileOfZeros)),
        (_UNREADABLE, (FileUnreadable, NotARegularFile)),
        (_COMPRESSION, (TransferSyntaxRefused,)),
        (_LARGE, (ObjectTooLarge,)),
        (_OTHERWISE, (InstanceConflict, HeaderConflict)),
        (_NO_IDENTITY, (IdentityMissing, IdentityMalformed, IdentityTooLong)),
        (_PACKED, (PackedArchive,)),
        (_OF_A_PHONE, (PhonePicture,)),
    )
    for error in errors
}


def sentences(refused: Mapping[str, int], language: str) -> list[str]:
    """*refused* counts files by the code of the refusal; the most frequent reason comes first."""
    counts = Counter[str]()
    for code, count in refused.items():
        counts[translate(_SENTENCES.get(code, _REFUSED), language).replace("{code}", code)] += count
    return [sentence.replace("{count}", str(count)) for sentence, count in counts.most_common()]
