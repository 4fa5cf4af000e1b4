"""What a task is to the converters: everything between a film's label or mask and a row of the card.

The other half, from a model file's tensors to what a doctor sees, is the box's
(:mod:`firmware_app.packs.tasks.interface`): both have the same key, and what is not said here is taken from there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from converters.evaluation.threshold import odds
from converters.recipe_tables import Table
from firmware_app.packs.manifest_types import LocalisedText
from firmware_app.packs.tasks import registry
from firmware_app.packs.tasks.interface import Answer, FindingPart, Frame, OutputPart, Section

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from converters.data.datasets import Film, FilmSet
    from converters.data.predictions import Predictions
    from converters.evaluation.baseline import Baseline
    from converters.evaluation.gates import GateResult
    from converters.nets import CamNet
    from converters.packing.words import FindingWords
    from converters.recipe import Recipe
    from converters.statistics.agreement import Statistic
    from converters.statistics.lesions import LesionResults, Marks
    from converters.training.fitting import Objective
    from converters.workflow.recipe_run import RecipeRun
    from firmware_app.imaging.model_input import InputSpec

Outputs = Mapping[str, NDArray[np.float32]]
"""Output name → what a network gives for N films, (N, …)."""

Answers = NDArray[Any]
"""(N, …): what the gates compare, film by film, of two files' answers."""

FEATURES = "features"
"""The output, of any task, that a typicality model judges: a vector (N, F)."""


@dataclass(frozen=True, slots=True)
class EvaluatedFilms:
    """Films, what a network gives for them, and the network's biases."""

    films: FilmSet
    outputs: Outputs
    biases: NDArray[np.float64]


class Task(ABC):
    """A task; the abstract methods are what a new one must say."""

    key: ClassVar[str]
    """Its name in recipes (``task = "…"``) and manifests."""

    outputs: ClassVar[tuple[str, ...]]
    """The names of the network's outputs from which answers are made, as the model files have them."""

    Settings: ClassVar[type[Table]] = Table
    """The recipe's table ``[<key>]``; as for every table, unknown keys are refused."""

    volumes: ClassVar[bool] = False
    """Whether it may read volumes (``[input] depth``); films alone otherwise."""

    distils: ClassVar[bool] = False
    """Whether a network can learn from another one's answers: then [distill], [prune] and QAT are there for it."""

    activation_map: ClassVar[bool] = False
    """Whether its first output is a class activation map, to be compared with Grad-CAM."""

    outlines: ClassVar[bool] = False
    """Whether a cell of the map stands for itself, and a film's score is that of its strongest cell; else the cells are
    evidence for the film as a whole."""

    needs_outlines: ClassVar[bool] = True
    """Whether marks are judged on nothing where only some films are outlined, and that is said; else they are left out
    then."""

    marks_away: ClassVar[bool] = False
    """Whether :meth:`measure_external_lesions` says anything."""

    # --- one recipe, or one finished pack --------------------------------------------------------------------------

    def configure(self, recipe: Recipe) -> Task:
        """The task as ``recipe`` asks for it: itself, where no setting changes what its methods mean."""
        return self

    def configure_for_pack(self, section: Section) -> Task:
        """The task as a manifest has it; see :meth:`configure`."""
        return self

    def aim(self, films: FilmSet) -> FilmSet:
        """Set ``target`` and ``label`` of ``films`` from the data set's entries (:attr:`Film.said`).

        Raises :class:`~converters.failures.DataUnreadable` for a label that the task does not know.
        """
        return films

    @property
    def reads_labels(self) -> bool:
        """Whether :meth:`aimed` makes the label, so that no class of the data set is called positive."""
        return False

    def stratum(self, film: Film) -> int:
        """Films of one stratum are dealt out evenly to the folds and the test part."""
        return film.label

    def subclass(self, film: Film) -> str:
        """What the film is within its label; even draws take each subclass of a source and label equally often."""
        return ""

    # --- the recipe ---------------------------------------------------------------------------------------------------

    def check(self, recipe: Recipe) -> None:
        """Raise :class:`ValueError` for a recipe that cannot be followed; the tables are valid one by one already."""
        if (recipe.data.reader == "volumes") != (recipe.input.depth is not None):
            raise ValueError('[data] reader = "volumes" and [input] depth belong together')
        if recipe.input.depth is not None and not self.volumes:
            raise ValueError(f'task = "{self.key}" reads films, no volumes')
        plan = recipe.train
        plain = not (recipe.distill or recipe.prune or (plan and (plan.early_epochs or plan.change.paste)))
        if not self.distils and not plain:
            raise ValueError(f'task = "{self.key}" is trained plainly: no [distill], [prune], early_epochs or paste')

    def refuse_cut(self, recipe: Recipe) -> None:
        """Raise :class:`ValueError` where the network sees another part of a film than its outlines are of."""
        if (recipe.input.resize, recipe.input.crop) != ("squash", "whole"):
            raise ValueError(f'task = "{self.key}" reads films whole: [input] resize = "squash" and crop = "whole"')

    # --- training -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def targets(self, run: RecipeRun, films: FilmSet) -> Any:
        """What a network is to learn of ``films``, in their order, from their labels or masks."""

    @property
    def shipped(self) -> int:
        """How many channels the network has that ships."""
        return 1

    def channels(self, recipe: Recipe, targets: Any) -> int:
        """How many channels a network of :mod:`converters.nets` has for these targets; the first ones ship."""
        return self.shipped

    @abstractmethod
    def objective(self, run: RecipeRun, films: FilmSet, targets: Any, net: CamNet) -> Objective:
        """The loss of ``net`` on ``films``, which have ``targets``."""

    @abstractmethod
    def network(self, given: nn.Module | Path, recipe: Recipe, spec: InputSpec, made: Path) -> CamNet:
        """A network that the user given, a module or an ONNX file, as one that gives :attr:`outputs`.

        ``made`` is where a file may be kept that is made of an ONNX file on the way.

        Raises :class:`~converters.failures.RecipeInvalid` for a form that the task does not take.
        """

    # --- what the gates compare ---------------------------------------------------------------------------------------

    @abstractmethod
    def answers(self, outputs: Outputs, biases: NDArray[np.float64]) -> Answers:
        """Outputs of N films → their answers; ``biases`` (C,) are what the host adds (:attr:`CamNet.biases`)."""

    def scores(self, answers: Answers) -> NDArray[np.float64]:
        """(N,) log odds that a film shows the first finding; the answers themselves where they are just that."""
        return answers

    def truth(self, films: FilmSet, answers: Answers) -> NDArray[Any] | None:
        """(N, …) what right answers look like; ``None`` where the scores alone are judged, by the films' labels."""
        return None

    def verdicts(self, baseline: Baseline, answers: Answers) -> list[GateResult]:
        """The task's own gates of another file's answers, beside those of AUC and sensitivity."""
        return []

    @abstractmethod
    def operating_point(
        self, recipe: Recipe, original: Predictions, answers: Answers, truth: NDArray[Any] | None, outputs: Outputs
    ) -> dict[str, Any]:
        """The frozen numbers of the pack, as JSON, from the original's answers on films that it had not seen.

        ``threshold``, a probability, and ``rule``, how it was chosen, must be among them. Raises
        :class:`~converters.failures.GateFailed` where nothing can be chosen.
        """

    def measure_external_lesions(
        self, recipe: Recipe, home: EvaluatedFilms, away: EvaluatedFilms
    ) -> LesionResults | None:
        """Lesions found on films ``away``, at thresholds chosen on those at ``home``; ``None`` of a task without marks.

        Raises :class:`~converters.failures.GateFailed` where no threshold can be chosen.
        """
        return None

    # --- the pack -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def output(self, point: Mapping[str, Any], features: str | None) -> OutputPart:
        """The manifest's ``output``; ``point`` is what :meth:`operating_point` gave."""

    @abstractmethod
    def finding(self, point: Mapping[str, Any], words: FindingWords) -> FindingPart:
        """The manifest's finding, of a pack that has one."""

    def findings(self, point: Mapping[str, Any], words: Sequence[FindingWords]) -> tuple[FindingPart, ...]:
        """The manifest's findings, each with the texts that people wrote.

        Raises :class:`ValueError` where the words are not of this task's findings.
        """
        if len(words) != 1:
            raise ValueError(f"the words tell {len(words)} findings, and the pack has one")
        return (self.finding(point, words[0]),)

    def weak_points(self, point: Mapping[str, Any]) -> tuple[LocalisedText, ...]:
        """Weak points that follow from the operating point, for the card, before the numbers."""
        return ()

    # --- evaluation, golden cases and the card --------------------------------------------------------------------

    def answer(self, section: Section, outputs: Outputs, frame: Frame) -> Answer:
        """Read one film with the box's own task module."""
        return registry.get_task(self.key).answer(section, outputs, frame)

    def logit(self, section: Section, outputs: Outputs, frame: Frame) -> float:
        """The first finding's score for one film (a batch of one): the log odds of the box's probability."""
        return odds(self.answer(section, outputs, frame).findings[0].probability)

    def box_scores(self, section: Section, outputs: Outputs, frame: Frame) -> NDArray[np.float64]:
        """(K + …,): every finding's score for one film, before calibration, the first one's first; then what else
        :meth:`statistics` wants."""
        return np.array([self.logit(section, outputs, frame)])

    def statistics(self, section: Section, box_scores: NDArray[np.float64], films: FilmSet) -> tuple[Statistic, ...]:
        """Numbers of what :meth:`box_scores` gave for ``films``, (N, …), beside those of the first finding."""
        return ()

    parity_of: ClassVar[str] = "probability"
    """What :meth:`parity` compares."""

    def parity(self, section: Section, wanted: Outputs, given: Outputs) -> float:
        """How far two files' answers for one film lie from each other, but for rounding: of the first finding.

        Of a score near 0 or 1 the log odds would make much of the last bit of a float.
        """
        frame = Frame(1, 1)
        first, second = (self.answer(section, mapping, frame).findings[0].probability for mapping in (wanted, given))
        return abs(first - second)

    def marks(self, section: Section, outputs: Outputs, film: Film) -> Marks | None:
        """The marks on one film against its outline; ``None`` where it has none, or the task marks nothing."""
        return None

    def decision(self, section: Section) -> str:
        """How the first finding is decided, for the card: sentences behind "`code` (label), priority …."."""
        finding = section.findings[0]
        return f"Positive from **{finding.threshold:g}**: {finding.threshold_rule}."

    def picture(self, section: Section) -> str:
        """A sentence for the card on what is drawn over the film; may be empty."""
        return ""

    def golden_probability(self, recorded: Any, code: str) -> float | None:
        """A finding's probability in what a golden case records of this task; ``None`` where it is not there."""
        probability = recorded.get(code) if isinstance(recorded, Mapping) else None
        return None if probability is None else float(probability)
