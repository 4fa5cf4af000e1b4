"""What can go wrong in a converter, for the engineer at the keyboard: one sentence each, no traceback.

ConverterError
├── DataUnreadable        the data set is not what the recipe says
│   ├── ClassEmpty        one of the two classes has no film
│   └── NoOtherPlace      a set that is to judge a pack elsewhere is of its own films
├── SplitLeaks            a patient, or a near-duplicate, is on both sides
├── RecipeInvalid         the recipe has a key or a value that means nothing
├── CheckpointUnreadable  the file is cut off, or no checkpoint at all
│   ├── CheckpointHasCode   it holds code, which is never run
│   └── CheckpointForeign   it is a checkpoint of another network
├── TrainingDiverged      the loss is no longer a number
├── DeviceAbsent          the device that was asked for is not there
├── ToolFailed            a library could not export, prune or quantize this network
├── FeedbackUnreadable    a clinic's feedback export cannot be taken
│   ├── FeedbackForeign       it is no export, or in a form of another version
│   ├── FeedbackForAnother    it was sealed to another key
│   ├── FeedbackCutOff        its end is missing
│   ├── FeedbackTampered      it was changed after it was sealed
│   ├── FeedbackMalformed     what was sealed is not in our form, or of another pack
│   └── FeedbackKeyUnusable   the key file holds no key of this kind
├── GateFailed            a measured number is worse than the recipe allows
├── PublisherKeysUnusable the keys that sign a pack repository are not there, or not these
├── RepositoryUnusable    a pack repository is not what its own signatures say
├── AlreadyPublished      this version is out already, with other files
├── StepMissing           a step reads what one before it leaves, which has not been done
└── OutputUnwritable      the disk is full or may not be written
"""

from collections.abc import Sequence


class ConverterError(Exception):
    """Base of everything a converter refuses to do."""


class DataUnreadable(ConverterError):
    """A data set, or one of its files, is not in the form that its reader expects."""

    def __init__(self, source: str, detail: str) -> None:
        super().__init__(f"{source}: {detail}")


class ClassEmpty(DataUnreadable):
    """A part of the films holds only one class, so nothing can be learnt or measured on it."""

    def __init__(self, part: str, word: str) -> None:
        super().__init__(part, f"it holds no {word} film. Give more films, or set [data] folds lower")


class NoOtherPlace(DataUnreadable):
    """Every film of a set is known from the pack's own data, so the set is no other place."""

    def __init__(self, source: str) -> None:
        super().__init__(
            source, "each of its films is of a patient of --data, or a copy of one of its films: it is no other place"
        )


class SplitLeaks(ConverterError):
    """Films of one group are on both sides of a split."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self.pairs = tuple(pairs)
        shown = "; ".join(f"{one} and {other}" for one, other in self.pairs[:5])
        more = f" and {len(self.pairs) - 5} more" if len(self.pairs) > 5 else ""
        super().__init__(f"a patient or film is both learnt from and judged on: {shown}{more}")


class RecipeInvalid(ConverterError):
    """A recipe cannot be followed as written."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")


class CheckpointUnreadable(ConverterError):
    """A checkpoint file cannot be read as one."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path} is not a usable checkpoint: {detail}")


class CheckpointHasCode(CheckpointUnreadable):
    """The file would run code when it is opened; only tensors and plain values are ever read."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(path, f"it holds {what}. Code in a checkpoint is never run: save the state_dict() alone")


class CheckpointForeign(CheckpointUnreadable):
    """The tensors are not those of the recipe's network."""


class TrainingDiverged(ConverterError):
    """The loss became NaN or infinite."""

    def __init__(self, where: str, epoch: int) -> None:
        super().__init__(
            f"{where}: the loss became NaN or infinite in epoch {epoch}. "
            "Lower learning_rate; the weights of the epoch before are kept"
        )


class DeviceAbsent(ConverterError):
    """PyTorch does not find the device that ``--device`` names."""

    code = "convert.device_absent"

    def __init__(self, device: str, version: str) -> None:
        super().__init__(
            f"{self.code}: PyTorch {version} finds no {device} device here. "
            "Use --device cpu, or install the driver and a PyTorch that was built for it"
        )


class ToolFailed(ConverterError):
    """A library refused the network; the sentence carries its own reason."""

    def __init__(self, tool: str, what: str, detail: str) -> None:
        super().__init__(f"{tool} could not {what}: {detail}")


class FeedbackUnreadable(ConverterError):
    """A clinic's feedback export cannot be taken; none of it is."""


class FeedbackForeign(FeedbackUnreadable):
    """The file is something else."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is not a feedback export in a form that this version reads")


class FeedbackForAnother(FeedbackUnreadable):
    """The export was sealed to a key that is not ours."""

    def __init__(self, path: str, wanted: str, own: str) -> None:
        super().__init__(
            f"{path} was sealed to the key {wanted}, and the key given is {own}. Name the right one with "
            "--feedback-key, or give the clinic the public part of yours"
        )


class FeedbackCutOff(FeedbackUnreadable):
    """The export ends too early."""

    def __init__(self, path: str, has: int, wanted: int) -> None:
        super().__init__(f"{path} is cut off: {has} of {wanted} bytes. Copy it again")


class FeedbackTampered(FeedbackUnreadable):
    """The seal does not hold."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} was changed after it was sealed, so nothing of it is used. Ask the clinic for it again"
        )


class FeedbackMalformed(FeedbackUnreadable):
    """What was sealed does not follow the form."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path} is not as docs/feedback-export.md says: {detail}")


class FeedbackKeyUnusable(FeedbackUnreadable):
    """There is no X25519 key in the file."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} holds no feedback key. Make one with: lantern-convert feedback-keys --out DIR")


class GateFailed(ConverterError):
    """A measured number misses what the recipe demands; the pack is not made."""

    def __init__(self, gate: str, detail: str) -> None:
        super().__init__(f"{gate}: {detail}")


class PublisherKeysUnusable(ConverterError):
    """The folder of a publisher's keys cannot be used."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")


class RepositoryUnusable(ConverterError):
    """A pack repository is damaged, or signed by somebody else."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"nothing can be added to the pack repository {path}: {detail}")


class AlreadyPublished(ConverterError):
    """A version that boxes may have already must never change."""

    def __init__(self, pack: str, version: str) -> None:
        super().__init__(f"{pack} {version} is published already, with other files; give the pack a higher version")


class StepMissing(ConverterError):
    """A step's account is not in the work folder."""

    def __init__(self, step: str, work: str) -> None:
        super().__init__(f"the step “{step}” has not been done in {work}; run it first")


class OutputUnwritable(ConverterError):
    """A result could not be written; nothing half-written is left under its name."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path} cannot be written: {detail}. Free some space or name another --out, and run it again")
