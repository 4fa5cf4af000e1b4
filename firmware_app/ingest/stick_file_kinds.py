"""The kind of a file on a stick by its contents, and whether its name and folder say that it should be an image.

A file that should be an image and is not counts as a lost image.  Everything else beside the images (viewer programs
and their libraries, letters, lists, files of operating systems) is skipped.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from enum import Enum
from typing import Final

from firmware_app.core.records import is_uid
from firmware_app.dicom import picture_formats
from firmware_app.dicom.header import MAGIC, PREAMBLE_BYTES, looks_like_data_set
from firmware_app.ingest import stick_files
from firmware_app.ingest.input_files import is_archive, is_object_name, is_picture_name

_DIRECTORY: Final = b"1.2.840.10008.1.3.10"  # Media Storage Directory Storage, PS3.4 B.5
_NUMBER: Final = re.compile(r"\d+")
_DICOM_SUFFIXES: Final = frozenset({"dcm", "dicom"})
_PACKED_SUFFIXES: Final = frozenset({"zip", "rar", "7z", "gz", "tgz", "xz", "bz2", "zst"})
"""What people pack images into; other archives (jar, cab, docx) belong to programs."""
_MOST_SUFFIX: Final = 5
_DICOM_FOLDER: Final = "dicom"
# PS3.10 8.2 and 8.5.  Drivers show discs without Joliet in lower case, where programs have such names too.
_FILE_ID: Final = re.compile(r"[A-Z0-9_]{1,8}|(?=.*[0-9])[a-z0-9_]{1,8}")
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class FileKind(Enum):
    """The kind of a file, by its first 64 kB."""

    DICOM = 1
    PICTURE = 2
    ARCHIVE = 3
    LIST = 4
    """A DICOMDIR."""
    TEXT = 5
    OTHER = 6
    EMPTY = 7
    """Without contents, or only zeros in the first 64 kB."""


def classify_file(name: str, head: bytes) -> FileKind:
    """The kind by the door's own rules (`intake.ImageIntake.accept_file`); only images are passed on to the door."""
    if not head.strip(b"\0"):
        return FileKind.EMPTY
    is_dicom = head[PREAMBLE_BYTES : PREAMBLE_BYTES + len(MAGIC)] == MAGIC
    if is_dicom and _DIRECTORY in head[:1024]:
        return FileKind.LIST
    if is_dicom:
        return FileKind.DICOM
    if picture_formats.detect_format(head) is not None or picture_formats.is_phone_picture(head):
        return FileKind.PICTURE
    if looks_like_data_set(head):
        return FileKind.DICOM
    if is_archive(head):
        return FileKind.ARCHIVE if _suffix(name) in {"", *_DICOM_SUFFIXES, *_PACKED_SUFFIXES} else FileKind.OTHER
    if name.casefold().split(".")[0] == stick_files.DICOMDIR_NAME:  # a broken one
        return FileKind.LIST
    return FileKind.TEXT if _is_text(head) else FileKind.OTHER


class ImageNaming:
    """How the DICOM objects of one stick are named, and in which folders they lie or should lie."""

    def __init__(self) -> None:
        self.count = 0
        self.unknown = 0
        """Files of `Kind.OTHER`."""
        self._forms = set[str]()
        self._folders = set[tuple[str, ...]]()
        self._list_folders = set[tuple[str, ...]]()
        self._file_ids = Counter[tuple[str, ...]]()

    def add(self, parts: tuple[str, ...]) -> None:
        self.count += 1
        self._forms.add(_mask_numbers(parts[-1]))
        self._folders.add(parts[:-1])

    def add_other(self, parts: tuple[str, ...], what: FileKind) -> None:
        """Add a file of another kind, *what*; call `is_lost_image` only after all files were added."""
        if what is FileKind.LIST:
            self._list_folders.add(parts[:-1])
        elif what is FileKind.OTHER:
            self.unknown += 1
            self._file_ids[parts[:-1]] += _is_file_id(parts[-1])

    def is_lost_image(self, parts: tuple[str, ...], what: FileKind) -> bool:
        """Whether a file of kind *what*, neither a DICOM object nor a list, should be an image."""
        name, folders = parts[-1], parts[:-1]
        is_plain = not _suffix(name) or is_object_name(name)
        if is_plain and what in (FileKind.EMPTY, FileKind.OTHER) and _DICOM_FOLDER in map(str.casefold, folders):
            return True
        if what is FileKind.EMPTY:  # often a marker file, or the label of the stick (fusefat)
            if is_picture_name(name):  # as for undamaged pictures, see `copying.Copying._conclude`
                return not self.count
            return is_object_name(name) or _mask_numbers(name) in self._forms
        if _suffix(name) in _DICOM_SUFFIXES or _mask_numbers(name) in self._forms:
            return True
        return what is FileKind.OTHER and (
            (is_plain and folders in self._folders) or self._is_of_file_set(name, folders)
        )

    def _is_of_file_set(self, name: str, folders: tuple[str, ...]) -> bool:
        """Whether a file has a name of a DICOM file set, and lies below a DICOMDIR or beside another such file."""
        is_listed_tree = any(folders[:depth] in self._list_folders for depth in range(len(folders) + 1))
        return _is_file_id(name) and (is_listed_tree or self._file_ids[folders] > 1)


def _is_file_id(name: str) -> bool:
    """Whether it is a name of a DICOM file set, or a UID, as devices without a DICOMDIR name their files."""
    return _FILE_ID.fullmatch(name) is not None or is_uid(name)


def _mask_numbers(name: str) -> str:
    """A name with its numbers replaced by 0: devices number the files of a study."""
    return _NUMBER.sub("0", name.casefold())


def _suffix(name: str) -> str:
    """The file name's suffix in lower case; empty where the name is a UID or has none."""
    suffix = name.rpartition(".")[2].casefold() if "." in name else ""
    return suffix if len(suffix) <= _MOST_SUFFIX and any(letter.isalpha() for letter in suffix) else ""


def _is_text(head: bytes) -> bool:
    if head.startswith(_UTF16):
        return True
    if b"\0" in head:
        return False
    for codec in ("utf-8", "gb18030"):
        try:
            codecs.getincrementaldecoder(codec)().decode(head)  # the last character may be cut
        except UnicodeDecodeError:
            continue
        return True
    return False
