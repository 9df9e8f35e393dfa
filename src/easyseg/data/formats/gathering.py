"""Putting the samples of annotation files together into a layout."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from easyseg.data.formats.annotation_files import doubtful_split_names, named_split, split_of_path, split_word
from easyseg.data.formats.layout import Layout, ReadOptions
from easyseg.data.formats.pairing import with_labels
from easyseg.errors import FormatError, SampleError
from easyseg.structures import SPLITS, ClassMap, Sample, Split, Task

_TWICE = "Images in two splits count in the first only"
_ALSO_WITHOUT_SPLIT = "Images that a file of no split annotates, too, count as in the file of their split"
_MOST_NAMES = 4


class LayoutFields(TypedDict, total=False):
    """What a format may say beside its samples; see `Layout`."""

    names_source: str
    labels: Literal["masks", "objects"]
    uncovered: Literal["background", "ignore"]
    task: Task | Literal["auto"]
    class_map: ClassMap | None


class Gathered:
    """The samples found so far, one per image.

    Args:
        source_format: the format's name.
        root: the folder of the images.
        options: what the user wants.
        files: all annotation files, for messages.

    Attributes:
        counts: how often each remark for people applies.
    """

    def __init__(self, source_format: str, root: Path, options: ReadOptions, files: Sequence[Path] = ()) -> None:
        self._source_format = source_format
        self._root = root
        self._options = options
        self._all_files = files
        self._samples: dict[Path, Sample] = {}
        self._files: dict[Path, Path] = {}
        self._parts: list[Sample] = []
        self._mentioned: set[Path] = set()
        self._split_names: dict[Split, dict[str, None]] = {split: {} for split in SPLITS}
        self._doubtful_names: dict[str, None] = {}
        self.counts: Counter[str] = Counter()

    @property
    def boxes(self) -> Literal["refuse", "fill"]:
        """What becomes of objects of which only the box is annotated."""
        return self._options.boxes

    @property
    def samples(self) -> list[Sample]:
        """The samples in the order of their images' names."""
        return sorted([*self._samples.values(), *self._parts], key=lambda sample: str(sample.image_path))

    def class_names(self) -> list[str]:
        """Return the class name of every object."""
        objects = (sample.objects for sample in self.samples if isinstance(sample.objects, tuple))
        return [item.class_name for items in objects for item in items]

    def mention(self, image: Path) -> Path:
        """Remember that an image has an annotation, even if it turns out to be broken, and return it."""
        self._mentioned.add(image)
        return image

    def add_part(self, sample: Sample) -> None:
        """Add a part of an image that other samples are parts of, too."""
        self._parts.append(sample)

    def split_of(self, path: Path, root: Path, *, by_own_name: bool = False) -> Split | None:
        """Return the split that names say, as `named_split` does, and remember the names for people.

        Args:
            path: an image or an annotation file.
            root: the folder below which names count.
            by_own_name: the file stands for many images, so that its own name counts, too.
        """
        found = named_split(path, root, by_own_name=by_own_name)
        if found is None:
            self._doubtful_names.update(dict.fromkeys(doubtful_split_names(path, root)))
            return None
        self._split_names[found.split][found.name] = None
        return found.split

    def add(self, sample: Sample, file: Path) -> None:
        """Add a sample from an annotation file.

        Of two entries for an image, one with a split counts and not one without.

        Raises:
            FormatError: another file annotates the same image for the same split.
            SampleError: the same file annotates it twice.
        """
        key = sample.image if isinstance(sample.image, Path) else file
        earlier = self._samples.setdefault(key, sample)
        other = self._files.setdefault(key, file)
        if earlier is sample:
            return
        if other == file:
            raise SampleError(file, f"the image {key.name} stands there twice. Keep one of the two.")
        if earlier.split == sample.split:
            raise self._both_annotate(key, other, file)
        if None not in (earlier.split, sample.split):
            self.counts[_TWICE] += 1
            return
        self.counts[_ALSO_WITHOUT_SPLIT] += 1
        if earlier.split is None:
            self._samples[key], self._files[key] = sample, file

    def _both_annotate(self, image: Path, first: Path, second: Path) -> FormatError:
        if first.name == second.name:  # told apart by their folders
            wanted = [f"{self._shown(file.parent)}/*{file.suffix}" for file in (first, second)]
        else:
            wanted = list(dict.fromkeys(_pattern(path.name) for path in (*self._all_files, first, second)))
        return FormatError(
            f"{self._shown(image)}: {self._shown(first)} and {self._shown(second)} both annotate this image. Choose "
            f"the file or files to use: type annotations={' or annotations='.join(map(repr, wanted[:6]))}."
        )

    def _shown(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix() if path.is_relative_to(self._root) else str(path)

    def layout(
        self,
        names: Sequence[str],
        *,
        images: Iterable[Path] = (),
        notes: Sequence[str] = (),
        takes_unlabelled: bool = False,
        **more: Unpack[LayoutFields],
    ) -> Layout:
        """Return the layout of all samples.

        Args:
            names: the class names in the order of their ids.
            images: all images of the dataset; those without annotation are added or left out, and told.
            notes: lines for people, before those on what was counted.
            takes_unlabelled: in this format, images without annotation usually show background only.
            **more: further attributes of the layout.
        """
        samples, remarks = self._with_unlabelled(images, takes_unlabelled=takes_unlabelled)
        counted = tuple(f"{remark}: {count}." for remark, count in self.counts.items() if count)
        fields: LayoutFields = {"names_source": "the annotations", "labels": "objects"}
        fields.update(more)
        return Layout(
            with_labels(samples, self._root),
            names=tuple(names),
            notes=(*(note for note in notes if note), *counted, *remarks, *self._split_notes()),
            skipped=tuple(self._options.bad_samples.skipped),
            without_sample=frozenset(self._mentioned - self._samples.keys()),
            **fields,
        )

    def _split_notes(self) -> Iterator[str]:
        listed = [f"{split} by {_some(self._split_names[split])}" for split in SPLITS if self._split_names[split]]
        if listed:
            yield f"Splits are told by names: {'; '.join(listed)}."
        if self._doubtful_names:
            yield (
                f"Folders whose names say more than a split are none: {_some(self._doubtful_names)}. Where they "
                "are, call them train, val and test."
            )

    def _with_unlabelled(
        self, images: Iterable[Path], *, takes_unlabelled: bool
    ) -> tuple[list[Sample], tuple[str, ...]]:
        wanted = self._options.unlabelled
        samples = self.samples
        if wanted == "skip":
            samples = [sample for sample in samples if sample.objects != ()]
        remarks: tuple[str, ...] = ()
        without = sum(sample.objects == () for sample in self.samples)
        if without and wanted == "skip":
            remarks = (f"Images without objects left out: {without}.",)
        elif without:
            advice = " To leave them out, type unlabelled='skip'." if wanted == "auto" else ""
            remarks = (
                f"Images with an entry but no objects: {without}; taken for pictures of the background.{advice}",
            )
        others = [image for image in images if image not in self._mentioned and image not in self._samples]
        if not others:
            return samples, remarks
        count = f"Images without annotation: {len(others)}, such as {others[0].name}"
        if not (takes_unlabelled if wanted == "auto" else wanted == "background"):
            advice = " If they show background only, type unlabelled='background'." if wanted == "auto" else ""
            return samples, (*remarks, f"{count}; left out.{advice}")
        samples += [
            Sample(image, None, split_of_path(image, self._root), self._source_format, objects=()) for image in others
        ]
        advice = " To leave them out, type unlabelled='skip'." if wanted == "auto" else ""
        remark = f"{count}; taken for pictures of the background.{advice}"
        return sorted(samples, key=lambda sample: str(sample.image_path)), (*remarks, remark)


def _pattern(name: str) -> str:
    """Return a pattern for a file and its brothers in other splits, such as "*_multiclass.json"."""
    words = re.split(r"([_\-.])", name)
    return "".join("*" if split_word(word) else word for word in words)


def _some(names: Iterable[str]) -> str:
    """Return the first names of many."""
    listed = list(names)
    more = f" and {len(listed) - _MOST_NAMES} more" if len(listed) > _MOST_NAMES else ""
    return ", ".join(map(repr, listed[:_MOST_NAMES])) + more
