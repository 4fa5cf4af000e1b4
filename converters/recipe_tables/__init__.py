"""The tables of a recipe, each with its keys and what they mean; `converters.recipe` makes one recipe of them."""

from converters.recipe_tables.data import Beside, ClassWords, Data, Elsewhere, Input, Net, Reader
from converters.recipe_tables.packing import (
    Abstain,
    Cost,
    Export,
    Gate,
    OperatingPoint,
    Quantize,
    Reference,
    Typicality,
)
from converters.recipe_tables.table import RuntimeName, Share, Table
from converters.recipe_tables.training import Changes, Distill, Fit, Pretraining, Prune, Source, Train

__all__ = [
    "Abstain",
    "Beside",
    "Changes",
    "ClassWords",
    "Cost",
    "Data",
    "Distill",
    "Elsewhere",
    "Export",
    "Fit",
    "Gate",
    "Input",
    "Net",
    "OperatingPoint",
    "Pretraining",
    "Prune",
    "Quantize",
    "Reader",
    "Reference",
    "RuntimeName",
    "Share",
    "Source",
    "Table",
    "Train",
    "Typicality",
]
