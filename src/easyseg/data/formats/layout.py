"""What every dataset format returns, and what a format is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from easyseg.data.formats.class_values import ClassValues
from easyseg.errors import SampleError
from easyseg.structures import ClassMap, Sample, SkippedSample, Task


@dataclass(frozen=True, slots=True)
class Layout:
    """A dataset as its files lie on the disk, no pixel read yet.

    Attributes:
        samples: the images with their masks or objects, in the order of their names; of large datasets, any sequence.
        names: class names in the order of their ids, where a file lists them; of objects, always.
        class_values: mask value or colour of each class, where a file maps them.
        names_source: that file's name, for messages.
        notes: lines for people on how the files were understood.
        labels: what the mask of an image is made of: files, or its objects.
        uncovered: with objects, what pixels are that no object covers.
        task: with objects, the task where the files say it.
        class_map: what the classes are, where the format fixes them.
        skipped: samples that were left out because they cannot be used.
        without_sample: images that annotations name but no sample is made of, such as those of skipped ones.
    """

    samples: Sequence[Sample]
    names: tuple[str, ...] | None = None
    class_values: ClassValues | None = None
    names_source: str = ""
    notes: tuple[str, ...] = ()
    labels: Literal["masks", "objects"] = "masks"
    uncovered: Literal["background", "ignore"] = "background"
    task: Task | Literal["auto"] = "auto"
    class_map: ClassMap | None = None
    skipped: tuple[SkippedSample, ...] = ()
    without_sample: frozenset[Path] = frozenset()


class BadSamples:
    """What happens to samples that cannot be used: the first one is an error, or all are left out and listed."""

    def __init__(self, policy: Literal["error", "skip"]) -> None:
        self._policy = policy
        self.skipped: list[SkippedSample] = []

    @property
    def are_refused(self) -> bool:
        """Whether the first one is an error."""
        return self._policy == "error"

    def add(self, error: SampleError) -> None:
        """Leave a sample out, or raise what is wrong with it."""
        if self.are_refused:
            raise error
        self.skipped.append(SkippedSample(str(error.path), error.problem))


STRICT = BadSamples("error")


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What formats are told beside the folder.

    Attributes:
        annotations: the annotation file or files to use, as a path in the dataset or a pattern for it; None: all.
        bad_samples: what happens to samples that cannot be used.
        unlabelled: images without any annotation: pictures of the background, or left out; auto: as the format has it.
        class_attribute: the attribute that holds the class, in formats that leave its name to people.
        classes: names of the objects that the user asks for, None for all; formats of millions of images read only
            those that have some.
        unverified: what pixels are that no object covers, in formats whose annotators did not look for all objects.
        boxes: objects of which only the box is annotated: an error, or taken to fill it.
    """

    annotations: str | None = None
    bad_samples: BadSamples = field(default_factory=lambda: STRICT)
    unlabelled: Literal["auto", "background", "skip"] = "auto"
    class_attribute: str | None = None
    classes: tuple[str, ...] | None = None
    unverified: Literal["background", "ignore"] = "background"
    boxes: Literal["refuse", "fill"] = "refuse"


DEFAULTS = ReadOptions()
HOW_TO_FILL_BOXES = (
    "Segmenter('faster_rcnn', ...) learns boxes as they are; for others type load_dataset(path, boxes='fill'), which "
    "takes each object to fill its box."
)
FILLED = "Objects of which only the box is annotated, taken to fill it"
BEYOND = "Boxes that reach beyond their image, cut off there"


class Format(Protocol):
    """A dataset format: a module with these names, registered in `easyseg.data.formats`."""

    @property
    def NAME(self) -> str:  # noqa: N802 - a module's constant
        """What one types as `format=`."""
        ...

    @property
    def LOOKS_FOR(self) -> str:  # noqa: N802 - a module's constant
        """One line on what a folder of this format holds."""
        ...

    @property
    def OVERRULES(self) -> tuple[str, ...]:  # noqa: N802 - a module's constant
        """Formats that also fit such a folder but know less about it."""
        ...

    def recognises(self, path: Path, annotations: str | None = None) -> bool:
        """Return whether a folder, or these annotation files in it, are of this format, reading no pixels."""
        ...

    def read(
        self, path: Path, *, images: Path | None = None, masks: Path | None = None, options: ReadOptions = DEFAULTS
    ) -> Layout:
        """Return what lies in the folder; `images` and `masks` name its two folders."""
        ...
