"""The rows of a pack elsewhere, of several sets in turn, and how they come into its manifest."""

import sys
from collections.abc import Callable, Iterable, Sequence

from converters.data.datasets import FilmSet
from converters.elsewhere import figures
from converters.elsewhere.sets import External, refuse_named_twice, strangers
from firmware_app.core import console
from firmware_app.packs.evidence import ExternalValidation
from firmware_app.packs.manifest import Manifest
from firmware_app.packs.pack_folder import Pack

Command = Callable[[External], str]
"""What prints a set's row."""


def measure(
    pack: Pack, home: FilmSet, sets: Sequence[External], runtime: str, precision: str, command: Command
) -> list[ExternalValidation]:
    """A row for each set; films that are known from ``home`` judge nothing.

    Raises :class:`~converters.failures.DataUnreadable`.
    """
    refuse_named_twice(sets)
    rows = []
    for external in sets:
        films = external.open_set(pack)
        kept = strangers(films, home)
        with console.show_progress(f"{pack.name} {precision} {runtime}, {external.name}: read") as advance:
            row = figures.measure(pack, kept, runtime, precision, advance)
        aside = len(films.films) - len(kept.films)
        rows.append(
            row.model_copy(
                update={
                    "set_aside": aside,
                    "licence": external.licence,
                    "citation": external.citation,
                    "command": command(external),
                }
            )
        )
    return rows


def write(manifest: Manifest, rows: Iterable[ExternalValidation]) -> Manifest:
    """The manifest with ``rows``, in place of earlier ones of the same sources."""
    fresh = {row.source: row for row in rows}
    kept = [row for row in manifest.measured_elsewhere if row.source not in fresh]
    return manifest.model_copy(update={"measured_elsewhere": (*kept, *fresh.values())})


def drop_external_rows(manifest: Manifest) -> dict[str, tuple[ExternalValidation, ...]]:
    """Drop the external results of a pack whose files or limits have changed, and print that."""
    if manifest.measured_elsewhere:
        names = ", ".join(row.source for row in manifest.measured_elsewhere)
        line = f"{manifest.name}: what it did elsewhere ({names}) must be measured again: lantern-convert elsewhere"
        print(line, file=sys.stderr, flush=True)
    return {"measured_elsewhere": ()}
