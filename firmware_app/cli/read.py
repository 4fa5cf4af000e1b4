"""`lantern read`: reads files at once.  Each case is printed when it is final, so that Ctrl-C loses only the rest."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from firmware_app.cli.case import print_case
from firmware_app.cli.terminal import (
    DONE,
    INTERRUPTED,
    NOT_DIAGNOSTIC,
    UNJUDGED,
    Commands,
    add_command,
    read_config,
    say,
)
from firmware_app.core.language import N_, printable_language, translate

if TYPE_CHECKING:
    from firmware_app.cli.offline_reading import SkippedFiles

_MORE: Final = """
Exit status: 0 every file was read; 3 something could not be judged or was
refused, or there was nothing to read; 1 failed with a sentence; 130 stopped by
Ctrl-C, and what was printed is final; 141 cut off, as by “| head”.

Copies of the images lie in $TMPDIR (else in /tmp) until all is read; a larger
place: TMPDIR=/path/to/folder lantern read …

Sentences are in [box] language, Chinese unless the configuration says
otherwise: LANTERN_BOX__LANGUAGE=en lantern read …

With --out DIR: DIR/index.html shows all cases, the most urgent first;
results.csv has a row for each finding and each lesion; cases.jsonl has what
--json prints. The same command again goes on where the first one stopped: files
that it has read are known by their content and are not read again, unless
settings, models or the version of Lantern have changed.

For images that do not say what they show: --pack NAME. For films that do not
say whom they show: LANTERN_BOX__USUAL_POPULATION=adult (or children).

What is known of the patients may raise the advice of follow-up, never a
probability: --background '{"family": true}'."""


def add_to(commands: Commands) -> None:
    """Add `read` to the parser."""
    read = add_command(
        commands,
        "read",
        _read,
        "read files at once, without touching the box's own state",
        "lantern read /media/stick --out results --json",
    )
    read.epilog = f"{read.epilog}\n{_MORE}"
    read.formatter_class = argparse.RawDescriptionHelpFormatter
    read.add_argument("paths", nargs="+", type=_parse_path, metavar="PATH", help="files or folders")
    read.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write each case's pictures and result there, and index.html, results.csv and cases.jsonl over all cases",
    )
    read.add_argument(
        "--pack", metavar="NAME", help="the model for images that do not say what they show (see: lantern pack list)"
    )
    read.add_argument(
        "--background",
        metavar="JSON",
        help="facts about the patients that rules of follow-up ask for, or a file with them: '{\"family\": true}'",
    )
    read.add_argument("--quiet", action="store_true", help="no progress on the terminal")


def _parse_path(text: str) -> Path:
    """A path; an empty one is refused, because it is a script's unset variable and not the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("a path is empty")
    return Path(text)


def _read(options: argparse.Namespace) -> int:
    from firmware_app.cases.errors import NOT_A_REGULAR_FILE
    from firmware_app.cli import offline_reading
    from firmware_app.cli.errors import NOTHING_TO_READ
    from firmware_app.core import console
    from firmware_app.ingest.input_files import count_skipped
    from firmware_app.reading.errors import MODALITY_UNKNOWN

    config = read_config(options)
    aside = printable_language(config.box.language, sys.stderr)
    clean, printed, total, unnamed = True, 0, 0, False

    def tell(done: int, of: int) -> None:
        nonlocal total
        total = of
        line(done, of)

    def tell_skipped(skipped: offline_reading.SkippedFiles) -> None:
        line.clear()
        for sentence in _format_skipped(skipped, aside):
            print(sentence, file=sys.stderr)

    with console.show_progress("read", enabled=not options.quiet) as line:
        cases = offline_reading.read_paths(
            options.paths,
            config,
            pack=options.pack,
            out=options.out,
            on_progress=tell,
            background=_parse_background(options.background),
            on_skipped=tell_skipped,
        )
        try:
            with closing(cases):
                for case in cases:
                    line.clear()
                    printed += len(case.files)  # a case is printed to its end even when a signal comes in between
                    print_case(case, config, as_json=options.json)
                    clean = clean and all(file.status.value in ("read", "duplicate") for file in case.files)
                    unnamed |= any(file.reason and file.reason.code == MODALITY_UNKNOWN.code for file in case.files)
        except KeyboardInterrupt:
            line.clear()
            print(_format_stopped(printed, total, aside), file=sys.stderr)
            return INTERRUPTED
    if left := count_skipped(options.paths):
        print(f"{left} × {NOT_A_REGULAR_FILE().text(aside)}", file=sys.stderr)
    if unnamed and options.pack is None:
        sentence = N_(
            "For images that do not say what they show, name the model: --pack NAME (see: lantern pack list)."
        )
        print(translate(sentence, aside), file=sys.stderr)
    if not total:
        print(NOTHING_TO_READ().text(aside), file=sys.stderr)
    elif not options.json:
        say(config, NOT_DIAGNOSTIC)
    return DONE if clean and total else UNJUDGED


def _parse_background(given: str | None) -> Mapping[str, bool]:
    """The facts of ``--background``: JSON itself, or the path of a file with it; raises `BACKGROUND_INVALID`."""
    from firmware_app.cli.errors import BACKGROUND_INVALID

    if given is None:
        return {}
    try:
        said = json.loads(given if given.lstrip().startswith("{") else Path(given).read_text("utf-8"))
    except OSError as error:
        raise BACKGROUND_INVALID(detail=error.strerror or str(error)) from None
    except ValueError as error:
        raise BACKGROUND_INVALID(detail=str(error)[:80]) from None
    if not isinstance(said, dict) or not all(isinstance(is_so, bool) for is_so in said.values()):
        raise BACKGROUND_INVALID(detail="no object of true and false")
    return said


def _format_skipped(skipped: SkippedFiles, language: str) -> Iterator[str]:
    if skipped.files:
        sentence = N_("Not read again: {count} files that an earlier run with this --out has read.")
        yield translate(sentence, language).format(count=skipped.files)
    if skipped.outdated:
        sentence = N_("Read again: {count} files, because settings, models or Lantern's version have changed.")
        yield translate(sentence, language).format(count=skipped.outdated)


def _format_stopped(printed: int, total: int, language: str) -> str:
    if not total:
        return translate(N_("Stopped before any file was read."), language)
    sentence = translate(N_("Stopped: {left} of {total} files were not read. What was printed is final."), language)
    return sentence.format(left=max(0, total - printed), total=total)
