"""Putting the samples of annotation files together into a layout."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from easyseg.data.formats.annotation_files import split_of_path
from easyseg.data.formats.layout import Layout, ReadOptions
from easyseg.data.formats.pairing import with_labels
from easyseg.errors import FormatError, SampleError
from easyseg.structures import Sample

_TWICE = "Images in two splits count in the first only"


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
        self.counts: Counter[str] = Counter()

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

    def add(self, sample: Sample, file: Path) -> None:
        """Add a sample from an annotation file.

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
            names = list(dict.fromkeys(_pattern(path.name) for path in (*self._all_files, other, file)))
            raise FormatError(
                f"{key}: {other.name} and {file.name} both annotate this image. Choose the file or files to use: type "
                f"annotations={' or annotations='.join(map(repr, names[:6]))}."
            )
        self.counts[_TWICE] += 1

    def layout(
        self,
        names: Sequence[str],
        *,
        images: Iterable[Path] = (),
        notes: Sequence[str] = (),
        takes_unlabelled: bool = False,
        **more: object,
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
        values = {
            "names": tuple(names),
            "names_source": "the annotations",
            "notes": (*(note for note in notes if note), *counted, *remarks),
            "labels": "objects",
            "skipped": tuple(self._options.bad_samples.skipped),
        }
        return Layout(with_labels(samples, self._root), **{**values, **more})  # type: ignore[arg-type]  # as named there

    def _with_unlabelled(
        self, images: Iterable[Path], *, takes_unlabelled: bool
    ) -> tuple[list[Sample], tuple[str, ...]]:
        wanted = self._options.unlabelled
        samples = self.samples
        if wanted == "skip":
            samples = [sample for sample in samples if sample.objects != ()]
        remarks: tuple[str, ...] = ()
        if len(samples) < len(self.samples):
            remarks = (f"Images without objects left out: {len(self.samples) - len(samples)}.",)
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
    return "".join("*" if split_of_path(Path(word), Path()) else word for word in words)
