"""``lantern-convert elsewhere``: measure a finished pack on sets of other places, and write the rows into it."""

import argparse
from dataclasses import replace
from pathlib import Path

from converters.elsewhere import figures, rows
from converters.evaluation import evaluate
from converters.golden_cases import cases
from converters.packing import card
from converters.packing.words import load_words
from firmware_app.packs.pack_folder import Pack


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``lantern-convert elsewhere``."""
    evaluate.add_pack_arguments(parser)
    evaluate.add_external_argument(parser, required=True)
    parser.add_argument(
        "--words",
        type=Path,
        metavar="FILE",
        help="the pack's words, whose [[elsewhere]] names a set's licence and citation",
    )


def command(options: argparse.Namespace) -> int:
    """Prints the rows, and writes manifest, card, report and sums; returns the exit status."""
    folder = options.pack.resolve()
    if options.words:
        cited = {one.name: one for one in load_words(options.words).elsewhere}
        options.external = [
            replace(one, licence=cited[one.name].licence, citation=cited[one.name].citation)
            if one.name in cited
            else one
            for one in options.external
        ]
    pack = Pack.load(folder)
    made = evaluate.measure_external(
        pack, options, options.precision or evaluate.usual_precision(pack, options.runtime)
    )
    cases.write_manifest(folder, rows.write(pack.manifest, made))
    card.rewrite(folder)
    print("\n".join(map(figures.table, made)))
    return 0
