"""Quantization-aware training (QAT): the last resort, when no eight-bit file of a runtime is good enough.

NNCF puts rounding into a copy of the network, whatever module it is, as the runtimes will round; gradients pass
straight through (Jacob et al. 2018).  The network so learns, from its own float self, weights that bear rounding.  Then
the rounding is left behind, and the float weights go through the ordinary export and PTQ search.
"""

import logging
import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from converters.data.datasets import FilmSet
from converters.data.splits import Fold
from converters.formats import artefacts, openvino_ir, quiet
from converters.formats.model_files import calibration_films
from converters.nets import CamNet
from converters.recipe_tables import Distill, Train
from converters.training import distill, fitting, steps, targets
from converters.training.steps import RecipeRun
from converters.workflow.ledger import tools

STAGE = "qat"
RATE = 0.05
"""Share of the recipe's learning rate: the network knows its task and only moves a little."""

COMPILING_S = 600
"""How long NNCF may compile its rounding when it is first used; its own 60 s are too few for a slow machine."""

WARMUP = 10
RANGE_FILMS = 64


def round_weights(net: CamNet, films: NDArray[np.float32]) -> CamNet:
    """A copy of ``net`` that rounds, with ranges from ``films`` (N, 1, H, W).

    Normalisation keeps its statistics, which the runtimes fold into the weights as they are, and nothing is dropped
    out.  Its bias stays: the host adds it, and one number serves all files of a pack.
    """
    openvino_ir.library()  # without its telemetry, which NNCF shares
    os.environ.setdefault("NNCF_EXTENSION_LOAD_TIMEOUT", str(COMPILING_S))
    import nncf
    from nncf.quantization.advanced_parameters import QuantizationParameters

    nncf.set_log_level(logging.ERROR)
    fed = nncf.Dataset([torch.from_numpy(film[np.newaxis]) for film in films])
    parameters = nncf.AdvancedQuantizationParameters(
        overflow_fix=nncf.OverflowFix.DISABLE,
        disable_bias_correction=True,
        activations_quantization_params=QuantizationParameters(per_channel=False),
    )
    with quiet():
        copy: CamNet = nncf.quantize(
            net.copy().eval(),
            fed,
            subset_size=len(films),
            preset=nncf.QuantizationPreset.MIXED,
            advanced_parameters=parameters,
        )
    for module in copy.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
            module.train = lambda mode=True, module=module: module  # type: ignore[method-assign]
        elif isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
    copy.freeze_bias()
    return copy


def plain(tuned: CamNet, like: CamNet) -> CamNet:
    """``like`` with the weights of ``tuned``: the rounding and its ranges are left behind."""
    net, state = like.copy(), tuned.state_dict()
    net.load_state_dict({name: state[name] for name in net.state_dict()})
    return net.eval()


def possible(run: RecipeRun) -> bool:
    """Whether the recipe asks for QAT and its network can learn: from itself, or by its task's own loss."""
    recipe = run.recipe
    return bool(recipe.quantize.qat_epochs) and recipe.net.onnx is None and (_follows(run) or bool(recipe.train))


def _follows(run: RecipeRun) -> bool:
    """Whether the network can follow its own float answers: the logits of one finding of films."""
    return run.task.distils and not run.task.reads_labels and run.spec.depth is None


def fine_tuned(run: RecipeRun, fold: Fold) -> CamNet:
    """A fold's network after QAT towards its own float outputs; an interrupted fit is continued.

    A network whose task has no distillation learns by the task's own loss.
    """
    original, base = steps.load_final(run, fold), run.recipe.distill or run.recipe.train or Train()
    plan = Distill(
        epochs=run.recipe.quantize.qat_epochs,
        batch=base.batch,
        learning_rate=base.learning_rate * RATE,
        weight_decay=0.0,
        warmup_steps=WARMUP,
        average_steps=base.average_steps,
        change=base.change.model_copy(update={"paste": 0.0}),
        temperature=1.0,
        label_weight=0.0,
        hint_weight=0.0,
    )
    net, films = round_weights(original, calibration_films(run, fold)[:RANGE_FILMS]), run.films(fold.train)
    word = steps.digest_final(run, fold) if run.training_steps else ""
    kept = run.fit_run(STAGE, fold, plan, word, tools("quantize"))
    tuned = fitting.fit(net, run.collect_films(fold), _objective(run, films, net, original, plan), plan, kept)
    return plain(tuned, original)


def _objective(run: RecipeRun, films: FilmSet, net: CamNet, original: CamNet, plan: Distill) -> fitting.Objective:
    if not _follows(run):
        return run.task.objective(run, films, run.task.targets(run, films), net)
    aim, labelled = targets.make_student_targets(targets.targets(films, run.recipe.data.own_heads), 0)
    return distill.teach(
        net, [original.copy()], aim, labelled=labelled, plan=plan, smoothing=Train(), example=steps.make_example(run)
    )


def float_files(run: RecipeRun) -> dict[str, Path]:
    """Fold → the folder of the float files of its fine-tuned network; every network is fine-tuned first."""
    folders, keys = {}, artefacts.list_wanted(run.recipe)
    for fold in run.trained_folds:
        folders[fold.name] = run.work / STAGE / fold.name
        static = run.recipe.export.static and fold == run.dataset.division.shipped
        artefacts.export(fine_tuned(run, fold), run.spec, folders[fold.name], keys, static=static)
    return folders
