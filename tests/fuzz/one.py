"""One process of libFuzzer over one target, until it finds something: ``python -m tests.fuzz.one TARGET [FLAG …]``.

What atheris counts as coverage are branches of Python code, ours and pydicom's; the native decoders are reached but not
looked into.  The process takes the limits of the decode child, and from whoever starts it the child's environment
(`tests.fuzz`), so a bomb is a refusal here as it is there.
"""

from __future__ import annotations

import logging
import sys
import warnings

import atheris

# pydicom's dictionaries are one literal each, which takes long and branches nowhere.
_LITERALS = ["pydicom._dicom_dict", "pydicom._private_dict", "pydicom._uid_dict", "pydicom.sr"]
with atheris.instrument_imports(include=["firmware_app", "pydicom"], exclude=_LITERALS):
    from firmware_app.core import child_loop
    from firmware_app.core.settings import ReaderSection
    from tests.fuzz import mutator, targets


def main() -> None:
    """Body of the process; libFuzzer ends it."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    target = targets.TARGETS[sys.argv[1]]
    child_loop.confine(ReaderSection().memory_mb)

    def once(data: bytes) -> None:
        target(data)

    def mutate_input(data: bytes, most: int, seed: int) -> bytes:
        return mutator.mutate(data, most, seed, atheris.Mutate)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], once, custom_mutator=mutate_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
