"""What a checkup of a dataset found, and how it is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from easyseg.results.words import counted
from easyseg.structures import ImageArray

Severity: TypeAlias = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""An error spoils a training or its figures, a warning may well do so, a note is good to know."""

MOST_CASES = 1000
"""So many cases of a finding are kept; the count goes on."""

_NAMED = 3
_TITLES = {
    "leaks": "Same image in two splits",
    "near_leaks": "Same picture in two splits",
    "near_duplicates": "Near duplicates",
    "series": "Series of nearly equal pictures",
    "series_leaks": "Series that lie in two splits",
    "exif_rotation": "EXIF rotation",
    "exif_turns": "Images turned by EXIF alone",
    "exchanged_classes": "Classes that trade places",
    "misplaced_masks": "Masks beside what they mark",
    "relative_coordinates": "Coordinates that are no pixels",
    "scattered_frames": "Frames scattered over splits",
    "unannotated_images": "Images without annotation",
    "jpeg_masks": "JPEG masks",
    "refused": "What load_dataset says",
    "layout": "Arrangement of the files",
    "truncated": "Files cut off",
    "unreadable": "Unreadable files",
    "size_mismatch": "Masks of another size",
    "masks_not_understood": "Masks that cannot be understood",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One place where something is wrong.

    Attributes:
        name: the file, relative to the dataset's folder; of several files, with "=" between them.
        detail: what is special about this one, perhaps nothing.
        samples: the numbers of the samples concerned in the dataset; none where a file belongs to no sample.
        objects: the numbers of the objects concerned in their image, counted from 0; none where it is not about some.
    """

    name: str
    detail: str = ""
    samples: tuple[int, ...] = ()
    objects: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} ({self.detail})" if self.detail else self.name


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """A picture, (H, W, 3) uint8, with its title."""

    title: str
    picture: ImageArray


@dataclass(frozen=True, slots=True, eq=False)
class PicturedCase:
    """A case in words and pictures; without panels where there is nothing to be seen."""

    caption: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a dataset, or good to know about it.

    Attributes:
        kind: its name, such as "truncated".
        severity: "error", "warning" or "note".
        found: one sentence on what was found.
        advice: what to type or do next.
        count: how many cases there are.
        cases: the first `MOST_CASES` of them, the worst first where there is an order.
    """

    kind: str
    severity: Severity
    found: str
    advice: str
    count: int = 0
    cases: tuple[Case, ...] = ()

    @classmethod
    def of(cls, kind: str, severity: Severity, cases: list[Case], found: str, advice: str) -> Finding:
        """Make a finding of all its cases; the record keeps the first ones."""
        return cls(kind, severity, found, advice, len(cases), tuple(cases[:MOST_CASES]))

    @property
    def title(self) -> str:
        """The kind as a headline: "void_masks" is "Void masks"."""
        words = self.kind.replace("_", " ")
        return _TITLES.get(self.kind, words[:1].upper() + words[1:])

    def examples(self) -> str:
        """Return the names of a few cases and how many more there are."""
        named = "; ".join(str(case) for case in self.cases[:_NAMED])
        more = self.count - min(len(self.cases), _NAMED)
        return f"{named}; and {more:,} more" if more > 0 else named

    def __str__(self) -> str:
        lines = [f"{self.severity}: {self.found}", self.examples(), self.advice]
        return "\n    ".join(line for line in lines if line)


@dataclass(frozen=True, slots=True)
class ClassShare:
    """How often a class occurs in one split.

    Attributes:
        split: the split.
        name: the class.
        pixels: its pixels.
        share: the same as a share, 0 to 1, of all pixels that count.
        images: how many images show it.
    """

    split: str
    name: str
    pixels: int
    share: float
    images: int


@dataclass(frozen=True, slots=True)
class Checkup:
    """What the dataset doctor has to say; `print` it, or look at its findings.

    Attributes:
        name: the dataset's folder.
        num_images: how many images were looked at.
        num_masks: likewise masks.
        splits: images of each split.
        classes: the classes' names in the order of their ids; empty where the masks could not be understood.
        findings: errors first, then warnings, then notes.
        class_shares: how often each class occurs in each split.
        seconds: how long it took.
        reading: lines on how its files and values were understood.
    """

    name: str
    num_images: int
    num_masks: int
    splits: dict[str, int]
    classes: tuple[str, ...]
    findings: tuple[Finding, ...]
    class_shares: tuple[ClassShare, ...] = ()
    seconds: float = 0.0
    reading: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __getitem__(self, kind: str) -> Finding:
        """Return the finding of a kind; a `KeyError` where there is none."""
        for finding in self.findings:
            if finding.kind == kind:
                return finding
        raise KeyError(kind)

    def __contains__(self, kind: object) -> bool:
        return any(finding.kind == kind for finding in self.findings)

    def of_severity(self, severity: Severity) -> tuple[Finding, ...]:
        """Return the findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)

    @property
    def is_healthy(self) -> bool:
        """Whether there is nothing to mend: neither an error nor a warning."""
        return all(finding.severity == "note" for finding in self.findings)

    @property
    def verdict(self) -> str:
        """One sentence on how the dataset is."""
        looked_at = f"{counted(f'{self.num_images:,}', 'image')} and {counted(f'{self.num_masks:,}', 'mask')}"
        took = f"looked at {looked_at} in {self.seconds:.1f} s"
        errors, warnings = len(self.of_severity("error")), len(self.of_severity("warning"))
        if self.is_healthy:
            return f"Healthy: nothing to mend; {took}."
        parts = [counted(count, noun) for count, noun in ((errors, "error"), (warnings, "warning")) if count]
        return f"Not healthy: {' and '.join(parts)}; {took}."

    def __str__(self) -> str:
        """Return the verdict with every finding; of a healthy dataset, three lines.

        Where values may have been understood in the wrong way, that is told, too.
        """
        doubts = [line for line in self.reading if line.startswith("Note: ")]
        lines = [self._summary(), self.verdict, *doubts]
        if self.is_healthy:
            notes = self.of_severity("note")
            listed = ", ".join(f"{note.title.lower()} ({note.count:,})" for note in notes)
            return "\n".join(
                [*lines, f"Good to know: {listed}." if notes else "" if doubts else "Ready to train."]
            ).rstrip()
        return "\n".join([*lines, *(str(finding) for finding in self.findings)])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "is_healthy": self.is_healthy, "verdict": self.verdict}

    def to_json(self) -> str:
        """Return the same as JSON text."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False)

    def _summary(self) -> str:
        splits = ", ".join(f"{count:,} {split}" for split, count in self.splits.items())
        classes = f"; {counted(len(self.classes), 'class').replace('classs', 'classes')}" if self.classes else ""
        return f"{self.name}: {counted(f'{self.num_images:,}', 'image')}{f', {splits}' if splits else ''}{classes}"
