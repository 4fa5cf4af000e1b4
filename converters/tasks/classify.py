"""The task ``classify``: what a film or volume shows as a whole.  A class activation map; a logit is a channel's mean.

Without a table ``[classify]`` there is one finding, which a film shows or not.  With it there are several labels,
classes that exclude each other, grades or a measured number (:mod:`converters.tasks.kinds`); every finding of a pack
then has its own channel, calibration and threshold, and is judged beside the original like the only one of others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from converters.evaluation import threshold
from converters.failures import DataUnreadable
from converters.recipe_tables import Table
from converters.tasks import kinds, two_networks, weak_labels
from converters.tasks.interface import Answers, Outputs, Task
from converters.tasks.kinds import Grades, Kind, Settings
from converters.training import targets as film_targets
from firmware_app.core.operating_point import COUNTS, MOST_MOVED
from firmware_app.packs.manifest_types import LocalisedText
from firmware_app.packs.tasks import classify
from firmware_app.packs.tasks.classify import Calibration, FindingSpec, MarksSpec, ValueScale
from firmware_app.packs.tasks.interface import FindingPart, Frame, Section, UsualScores

if TYPE_CHECKING:
    from torch import nn

    from converters.data.datasets import Film, FilmSet
    from converters.data.predictions import Predictions
    from converters.evaluation.baseline import Baseline
    from converters.evaluation.gates import GateResult
    from converters.nets import CamNet
    from converters.packing.words import FindingWords
    from converters.recipe import Recipe
    from converters.statistics.agreement import Statistic
    from converters.statistics.lesions import Marks
    from converters.training.fitting import Objective
    from converters.workflow.recipe_run import RecipeRun
    from firmware_app.imaging.model_input import InputSpec

MAP = "map"
FULL_SCALE_PERCENTILE = 75.0
"""The map is drawn at full strength from this percentile of the strongest cells of positive held-back films."""
NO_MAP = LocalisedText(
    en="It does not show where: the network gives a number without a map, so no heat map is drawn.",
    zh="不显示位置：该网络只给出数值而没有热力图，因此不绘制热力图。",
)


WEAK_MARKS = LocalisedText(
    en="Its boxes are taken from the heat map of a network that learnt from image labels, without outlines: they show "
    "where it looked, not where a lesion ends, and no size may be read from them.",
    zh="其方框取自热力图：该网络只学习了图像级标注，没有学习轮廓。方框只表示模型关注的位置，不是病灶边界，不可据此测量大小。",
)


DECIDED: Final[Mapping[str, str]] = {
    "labels": "",
    "classes": "A logit is that of the softmax of all channels. The classes exclude each other: only the most probable "
    "finding is positive, where it reaches its own threshold.",
    "grades": "Each channel says that the grade is above its own; the grade is how many say so.",
    "number": "",
}


class Classify(Task):
    """See the module; ``kind`` is what a film's label is, ``None`` for one finding."""

    key = "classify"
    outputs = (MAP,)
    distils = True
    volumes = True
    activation_map = True
    needs_outlines = False
    Settings: ClassVar[type[Table]] = kinds.Settings

    def __init__(self, kind: Kind | None = None) -> None:
        self.kind = kind

    def configure(self, recipe: Recipe) -> Task:
        """Configure for the recipe's kind of target; raises :class:`ValueError` for contradictory settings."""
        settings = recipe.settings
        return Classify(kinds.parse_settings(settings, recipe.net.channel)) if isinstance(settings, Settings) else self

    def configure_for_pack(self, section: Section) -> Task:
        """Configure for the manifest's kind of target."""
        return Classify(kinds.parse_section(section))

    def check(self, recipe: Recipe) -> None:
        """What one finding may have and others may not: distillation, pruning, alignment of sources."""
        super().check(recipe)
        kind = (
            kinds.parse_settings(recipe.settings, recipe.net.channel) if isinstance(recipe.settings, Settings) else None
        )
        plan = recipe.train
        if plan is not None and plan.loss is not None:
            kinds.check_loss(plan.loss, kind)
        if isinstance(recipe.settings, Settings) and recipe.settings.false_per_image is not None:
            self._check_marks(recipe, kind)
        if recipe.net.members and (kind is not None or recipe.input.depth is not None):
            raise ValueError("a pair of networks is for one finding of films")
        plainly = kind is not None or recipe.input.depth is not None or (plan is not None and plan.loss is not None)
        if not plainly:
            return
        if kind is not None and recipe.net.answer is not None and kind.name != "labels":
            raise ValueError('answer is for one finding or kind = "labels"; other kinds are taken before their softmax')
        if kind is not None and recipe.reference is not None:
            raise ValueError("[reference] compares the scores of one finding")
        if kind is not None and recipe.net.softmax:
            raise ValueError('softmax = true is for one finding of two classes; for several: kind = "classes"')
        if recipe.distill or recipe.prune:
            raise ValueError("[distill] and [prune] are for one finding of films, by the default loss")
        if plan and plan.alignment != "none":
            raise ValueError("alignment goes with the default loss alone")
        if plan and plan.change.paste:
            raise ValueError("paste goes with one finding of films and the default loss: another label has no donor")
        if plan and plan.early_epochs and recipe.input.depth is not None:
            raise ValueError("early_epochs is for films")

    def _check_marks(self, recipe: Recipe, kind: Kind | None) -> None:
        if kind is not None and kind.name != "labels":
            raise ValueError("[classify] false_per_image marks places of one finding or of several labels")
        if recipe.input.depth is not None or (recipe.input.resize, recipe.input.crop) != ("squash", "whole"):
            raise ValueError('[classify] false_per_image: of films, [input] resize = "squash" and crop = "whole"')

    @property
    def reads_labels(self) -> bool:
        """Whether the data set's own class words are read."""
        return self.kind is not None

    def aim(self, films: FilmSet) -> FilmSet:
        """The kind's numbers of each film's word; its label is whether it shows the first finding."""
        if self.kind is None:
            return films
        made = []
        for film in films.films:
            try:
                target = self.kind.target(film.said)
            except ValueError as error:
                raise DataUnreadable(film.name, str(error)) from error
            made.append(replace(film, target=target, label=int(self.kind.shows(np.array([target]))[0, 0])))
        return replace(films, films=tuple(made))

    def stratum(self, film: Film) -> int:
        """Its class or grade."""
        return film.label if self.kind is None else self.kind.stratum(film.target, film.label)

    @property
    def shipped(self) -> int:
        """The channels of the kind."""
        return 1 if self.kind is None else self.kind.channels

    def targets(self, run: RecipeRun, films: FilmSet) -> Any:
        """:class:`converters.training.targets.Targets`, weighed by what each mistake costs at the clinic; of another
        kind than one finding (N, C) numbers."""
        if self.kind is None:
            return film_targets.weigh_by_cost(films, run.recipe)
        every = numbers_of(run.films(run.trained_learn_from))  # of all films: the folds' networks speak in one unit
        spread = (float(every[:, 0].mean()), max(float(every[:, 0].std()), 1e-6))
        return self.kind.learn(numbers_of(films), spread)

    def channels(self, recipe: Recipe, targets: Any) -> int:
        """Those that ship, and one for each set that has a head of its own."""
        return self.shipped + len(recipe.data.own_heads)

    def objective(self, run: RecipeRun, films: FilmSet, targets: Any, net: CamNet) -> Objective:
        """The recipe's loss of the map's mean; else cross-entropy, or what belongs to the kind of target."""
        from converters.training import domain_alignment, losses, train

        plan, volumes = run.recipe.train, run.spec.depth is not None
        assert plan is not None
        if self.kind is None and plan.loss is None and not volumes:
            return train.LabelLoss(targets, plan, domain_alignment.plan_alignment(plan, films, net, run.spec))
        loss = losses.get(plan.loss or (self.kind.loss if self.kind else "bce"))
        if self.kind is None:
            return losses.Values(loss, targets.main[:, None], targets.weights, plan, volumes)
        return losses.Values(loss, targets, np.ones(len(targets), dtype=np.float32), plan, volumes)

    def network(self, given: nn.Module | Path, recipe: Recipe, spec: InputSpec, made: Path) -> CamNet:
        """The findings' channels of the network's output, as a map."""
        from converters.nets import foreign

        keep, logits = (None, True) if self.kind is None else (self.kind.order, self.kind.name != "number")
        return foreign.with_map(given, recipe, spec, made, outlines=self.outlines, keep=keep, logits=logits)

    def answers(self, outputs: Outputs, biases: NDArray[np.float64]) -> Answers:
        """(N,) logits of the one finding, or (N, C) of every channel."""
        cells = outputs[MAP]
        means = cells.reshape(*cells.shape[:2], -1).mean(axis=2, dtype=np.float64)
        if self.kind is None:
            return np.asarray(means[:, 0] + biases[0], dtype=np.float64)
        return np.asarray(means + biases, dtype=np.float64)

    def scores(self, answers: Answers) -> NDArray[np.float64]:
        """(N,) logits of the first finding."""
        return answers if self.kind is None else self.kind.logits(answers)[:, 0]

    def truth(self, films: FilmSet, answers: Answers) -> NDArray[Any] | None:
        """(N, T) numbers of the films; ``None`` of one finding."""
        return None if self.kind is None else numbers_of(films)

    def verdicts(self, baseline: Baseline, answers: Answers) -> list[GateResult]:
        """AUC and sensitivity of the findings behind the first, agreement of grades, error of a number."""
        from converters.evaluation import target_gates

        if self.kind is None or baseline.truth is None:
            return []
        return target_gates.judge(self.kind, baseline, answers)

    def operating_point(
        self, recipe: Recipe, original: Predictions, answers: Answers, truth: NDArray[Any] | None, outputs: Outputs
    ) -> dict[str, Any]:
        """Platt's calibration and a threshold by the recipe's rule."""
        cells = outputs[MAP]
        allowed = recipe.settings.false_per_image if isinstance(recipe.settings, Settings) else None
        shows = original.labels[:, np.newaxis] if self.kind is None else self.kind.shows(_require_truth(truth))
        logits = original.logits[:, np.newaxis] if self.kind is None else self.kind.logits(answers)
        each = []
        for k in range(shows.shape[1]):
            point = threshold.calibrate(recipe, shows[:, k], logits[:, k])
            if allowed is not None:
                called = threshold.sigmoid(point["slope"] * logits[:, k] + point["intercept"]) >= point["threshold"]
                point["marks"] = weak_labels.choose(cells[:, k], logits[:, k], shows[:, k], called, allowed)
            each.append(point)
        if self.kind is None:
            two = {"members": two_networks.disagreement(recipe, original, each[0], cells)} if recipe.net.members else {}
            return {**each[0], **two, **draw(cells, original.labels)}
        more = {"scale": threshold.fit(logits[:, 0], _require_truth(truth)[:, 0])} if self.kind.name == "number" else {}
        return {**each[0], "findings": each, **more, **draw(cells, original.labels)}

    def output(self, point: Mapping[str, Any], features: str | None) -> classify.Output:
        """The map's name and scale."""
        if self.kind is None:
            two = {**point["members"], "weights": point["weights"]} if "members" in point else None
            return classify.Output(
                map=MAP,
                features=features,
                full_scale=point["full_scale"],
                members=None if two is None else classify.NetworkPair.model_validate(two),
            )
        return classify.Output(
            map=MAP,
            features=features,
            full_scale=point["full_scale"],
            kind=self.kind.name,
            names=self.kind.names,
            biases=tuple(point["biases"]),
        )

    def finding(self, point: Mapping[str, Any], words: FindingWords) -> FindingSpec:
        """The first channel of the map, calibrated."""
        return _finding(point, words, 0, point["bias"], None)

    def findings(self, point: Mapping[str, Any], words: Sequence[FindingWords]) -> tuple[FindingPart, ...]:
        """One finding per target, in their order, each with the texts of its code."""
        kind = self.kind
        if kind is None:
            return super().findings(point, words)
        if kind.name in ("grades", "number"):
            if len(words) != 1 or words[0].unit is None:
                raise ValueError("a grade or a number is one finding, and its words have a unit")
            offset, scale = point.get("scale", (0.0, 1.0))
            measure = ValueScale(unit=words[0].unit, at_least=kind.at_least, scale=scale, offset=offset)
            channel = kind.channel if isinstance(kind, Grades) else 0
            return (_finding(point, words[0], channel, point["biases"][channel], measure),)
        known = {word.code: word for word in words}
        codes = [kinds.code_of(name) for name in kind.names[: kind.findings]]
        if set(codes) != set(known):
            raise ValueError(f"the words are of the findings {', '.join(known)}, the labels are {', '.join(codes)}")
        return tuple(
            _finding(point["findings"][k], known[code], k, point["biases"][k], None) for k, code in enumerate(codes)
        )

    def weak_points(self, point: Mapping[str, Any]) -> tuple[LocalisedText, ...]:
        """A map of one cell shows no place, and places are no outlines."""
        return (*((NO_MAP,) if point.get("one_cell") else ()), *((WEAK_MARKS,) if "marks" in point else ()))

    def logit(self, section: Section, outputs: Outputs, frame: Frame) -> float:
        """The map's mean with the bias, before calibration: exact where a probability would round to 0 or 1."""
        return classify.finding_logits(outputs[section.output.map][0], section.output, section.findings[:1])[0]

    def box_scores(self, section: Section, outputs: Outputs, frame: Frame) -> NDArray[np.float64]:
        """The logits of all findings, and of grades the grade."""
        cells = outputs[section.output.map][0]
        graded = [float(classify.count_grade(cells, section.output))] if section.output.kind == "grades" else []
        return np.array([*classify.finding_logits(cells, section.output, section.findings), *graded])

    def statistics(self, section: Section, box_scores: NDArray[np.float64], films: FilmSet) -> tuple[Statistic, ...]:
        """See :mod:`converters.evaluation.target_measures`."""
        from converters.evaluation import target_measures

        if self.kind is None or not all(film.target for film in films.films):
            return ()
        patients = [film.patient for film in films.films]
        return target_measures.measure(self.kind, section, box_scores, numbers_of(films), patients)

    def marks(self, section: Section, outputs: Outputs, film: Film) -> Marks | None:
        """The candidate boxes of the first finding against the film's outlines, which were not learnt from."""
        spec, activation = section.findings[0], outputs[section.output.map][0]
        if spec.marks is None:
            return None
        shown = classify.make_findings(activation, section.findings, section.output)[0].positive
        return weak_labels.judge(classify.finding_evidence(activation, spec) if shown else None, spec.marks, film)

    parity_of = "logit"

    def parity(self, section: Section, wanted: Outputs, given: Outputs) -> float:
        """The parity of the logits, before calibration flattens them, for the finding that is farthest off."""
        frame, count = Frame(1, 1), len(section.findings)
        first, second = (self.box_scores(section, mapping, frame)[:count] for mapping in (wanted, given))
        return float(np.abs(first - second).max())

    pooled, calibrated = "mean", "Platt, fitted on validation films"

    def decision(self, section: Section) -> str:
        """The formula with its numbers, of each finding."""
        said = []
        for number, finding in enumerate(section.findings):
            name = f"`{finding.code}` ({finding.label.en}, {finding.label.zh}): " if number else ""
            said.append(
                f"{name}logit = {self.pooled}(map) + {finding.bias:.6f}; probability = "
                f"sigmoid({finding.calibration.slope:g} · logit {finding.calibration.intercept:+g}) "
                f"({self.calibrated}); positive from **{finding.threshold:g}**: {finding.threshold_rule}."
            )
        usual = section.findings[0].usual_scores
        said.append("" if usual is None else _following(usual))
        said.append(DECIDED[section.output.kind])
        if (measure := section.findings[0].measure) is not None and section.output.kind == "number":
            said.append(f"The number is {measure.offset:g} + {measure.scale:g} · logit, in {measure.unit.en}.")
        if (two := getattr(section.output, "members", None)) is not None:
            said.append(two_networks.describe(two))
        marked = (finding_spec for finding_spec in section.findings if isinstance(finding_spec, FindingSpec))
        said += [
            _marking(finding_spec.code, finding_spec.marks) for finding_spec in marked if finding_spec.marks is not None
        ]
        return " ".join(one for one in said if one)

    def picture(self, section: Section) -> str:
        """The heat map's scale."""
        return f"The heat map is drawn at full strength from {section.output.full_scale:g} logits a cell."

    def golden_probability(self, recorded: Any, code: str) -> float | None:
        """The probability that golden cases record besides marked lesions."""
        with_places = isinstance(recorded, Mapping) and isinstance(recorded.get("findings"), Mapping)
        return super().golden_probability(recorded["findings"] if with_places else recorded, code)


def numbers_of(films: FilmSet) -> NDArray[np.float64]:
    """(N, T): the films' targets."""
    return np.array([film.target for film in films.films], dtype=np.float64)


def _require_truth(truth: NDArray[Any] | None) -> NDArray[Any]:
    assert truth is not None
    return truth


def _marking(code: str, marks: MarksSpec) -> str:
    return (
        f"Where `{code}` is positive, connected cells of at least {marks.reach:g} of the strongest one are a place, "
        f"scored sigmoid({marks.calibration.slope:g} · cell {marks.calibration.intercept:+g}) by its own strongest "
        f"cell, and marked from **{marks.threshold:g}**: {marks.threshold_rule}. No outline was learnt from."
    )


def _following(usual: UsualScores) -> str:
    return (
        f"On a box the threshold follows the scores of a machine's first {COUNTS[0]} to {COUNTS[-1]} films, by at most "
        f"{MOST_MOVED:g} log odds, until films of it are confirmed: as many spreads from their mean as here from the "
        f"log odds of {usual.films} held-back films (mean {usual.mean:g}, spread {usual.spread:g}, mixed at a "
        f"prevalence of {usual.prevalence:g}). The numbers of this card are at the threshold as it is here."
    )


def _finding(
    point: Mapping[str, Any], words: FindingWords, channel: int, bias: float, measure: ValueScale | None
) -> FindingSpec:
    return FindingSpec(
        code=words.code,
        label=words.label,
        channel=channel,
        bias=bias,
        calibration=Calibration(kind="platt", slope=point["slope"], intercept=point["intercept"]),
        threshold=point["threshold"],
        threshold_rule=point["rule"],
        priority=words.priority,
        measure=measure,
        marks=MarksSpec.model_validate(point["marks"]) if "marks" in point else None,
        usual_scores=point.get("usual_scores"),
    )


def draw(cells: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, Any]:
    """The cell value, in logits, at which a map (N, C, …) is drawn at full strength; and whether it is a single
    cell."""
    peaks = cells[labels == 1, 0].reshape(-1, cells[0, 0].size).max(axis=1)
    scale = {"full_scale": round(max(float(np.percentile(peaks, FULL_SCALE_PERCENTILE)), 1e-3), 3)}
    return {**scale, "one_cell": True} if cells[0, 0].size == 1 else scale


task = Classify()
