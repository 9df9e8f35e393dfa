"""YOLO segmentation: one text file for each image, a line per object, with or without data.yaml."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from easyseg.data.formats.folder_names import folder_meaning
from easyseg.data.formats.gathering import Gathered
from easyseg.data.formats.layout import DEFAULTS, Layout, ReadOptions
from easyseg.data.formats.scanning import image_folder, list_files, list_images, normal_form
from easyseg.data.formats.yolo_yaml import YoloNames, read_splits, read_yolo_names
from easyseg.errors import FormatError, SampleError
from easyseg.io.text_files import Line, read_lines
from easyseg.structures import LabelledObject, Points, Polygons, Sample

NAME = "yolo"
LOOKS_FOR = "labels/*.txt with a line 'class x1 y1 x2 y2 ...' for each object, beside images/, as YOLO has them"
OVERRULES = ("folders", "txt_splits")

_PEEKED = 20
_MOST_SHARE = 2.0
"""Outlines may reach a little beyond the image; larger numbers are pixels."""

_Key = tuple[tuple[str, ...], str]


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of a label file: a class, and its outline as shares of width and height, None for a box."""

    line: Line
    class_id: int
    outline: Points | None


def recognises(path: Path, annotations: str | None = None) -> bool:
    """Return whether there are text files of objects, by a look at a few of them."""
    if not path.is_dir() or annotations is not None:
        return False
    return any(_looks_like_labels(file) for file in _label_files(path, list_images(path))[:_PEEKED])


def read(
    path: Path, *, images: Path | None = None, masks: Path | None = None, options: ReadOptions = DEFAULTS
) -> Layout:
    """List the images with their objects, drawn in the order of the lines.

    Args:
        path: the dataset's folder.
        images: the folder of the images, where they are not found below `path`.
        masks: not needed by this format.
        options: images without a text file, and what happens to broken samples.

    Raises:
        FormatError: there are no text files of objects, or they hold boxes only.
        SampleError: a line is malformed; it names the file and the line.
    """
    folder = image_folder(path, images)
    listed = list_images(folder)
    labels = _label_files(path, listed)
    if not labels:
        raise FormatError(f"{path}: no text files of objects found. Expected {LOOKS_FOR}.")
    names = read_yolo_names(path)
    splits = read_splits(path, folder, listed)
    label_of = _LabelIndex(path, labels)
    gathered = Gathered(NAME, folder, options)
    ids: set[int] = set()
    boxes: list[SampleError] = []
    for image, split in splits.items():
        label = label_of.take(image.relative_to(folder))
        if label is None:
            continue
        gathered.mention(image)
        try:
            rows = _rows(label, names, gathered.counts)
            ids.update(row.class_id for row in rows)
            gathered.add(Sample(image, None, split, NAME, objects=_objects(label, rows, names)), label)
        except _BoxError as error:
            boxes.append(error)
        except SampleError as error:
            options.bad_samples.add(error)
    _refuse_boxes(path, boxes, gathered, options)
    gathered.counts["Label files that belong to no image left out"] += label_of.left_over()
    return gathered.layout(
        names.listed(ids),
        images=[image for image in listed if image in splits],
        notes=("Objects are drawn in the order of the lines, later ones on top.",),
        takes_unlabelled=True,
        names_source=names.source or "the labels",
    )


class _BoxError(SampleError):
    """A line is a box."""


def _refuse_boxes(root: Path, boxes: Sequence[SampleError], gathered: Gathered, options: ReadOptions) -> None:
    """Refuse a dataset of boxes, and in another one the images that have some."""
    if boxes and not any(sample.objects for sample in gathered.samples):
        raise FormatError(
            f"{root}: the labels hold boxes ('class x y width height'), and no mask can be drawn from a box. Export "
            "the dataset for segmentation, with the outlines of the objects."
        )
    for error in boxes:
        options.bad_samples.add(error)


class _LabelIndex:
    """Label files by where they lie and what they are called, apart from the words for images and labels."""

    def __init__(self, root: Path, files: Sequence[Path]) -> None:
        self._files = {_key(file.relative_to(root)): file for file in files}
        self._taken: set[Path] = set()
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for file in files:
            self._by_stem[normal_form(file.stem)].append(file)

    def take(self, image: Path) -> Path | None:
        """Return the label file of an image, given by its path below the folder of images; None where there is none."""
        same_name = self._by_stem.get(normal_form(image.stem), [])
        found = self._files.get(_key(image)) or (same_name[0] if len(same_name) == 1 else None)
        if found is not None:
            self._taken.add(found)
        return found

    def left_over(self) -> int:
        """Return how many label files no image took."""
        return len(self._files.keys()) - len(self._taken)


def _key(relative: Path) -> _Key:
    place = []
    for part in relative.parts[:-1]:
        meaning = folder_meaning(part)
        if meaning.role is None or not meaning.is_known or meaning.split is not None:
            place.append(meaning.split or normal_form(part).casefold())
    return tuple(place), normal_form(relative.stem)


def _label_files(root: Path, images: Sequence[Path]) -> list[Path]:
    """Return the text files in folders of labels, else those beside images of their names."""
    files = list_files(root, (".txt",))
    in_folders = [
        file for file in files if any(folder_meaning(part).role == "mask" for part in file.relative_to(root).parts[:-1])
    ]
    if in_folders:
        return in_folders
    stems = {image.with_suffix("") for image in images}
    return [file for file in files if file.with_suffix("") in stems]


def _looks_like_labels(file: Path) -> bool:
    try:
        lines = read_lines(file)
    except SampleError:
        return False
    words = lines[0].text.split() if lines else []
    return len(words) >= 5 and words[0].isdecimal() and all(_is_number(word) for word in words[1:])


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _rows(file: Path, names: YoloNames, counts: Counter[str]) -> list[_Row]:
    rows = [_row(file, line, names) for line in read_lines(file)]
    counts["Polygons of fewer than three points cover nothing"] += sum(
        row.outline is not None and len(row.outline) < 3 for row in rows
    )
    return rows


def _row(file: Path, line: Line, names: YoloNames) -> _Row:
    try:
        numbers = np.array(line.text.split(), np.float64)
    except ValueError as error:
        raise _line_error(file, line, f"it does not consist of numbers ({error})") from error
    if len(numbers) < 5 or len(numbers) % 2 == 0:
        raise _line_error(file, line, f"it has {len(numbers)} numbers; expected 'class x1 y1 x2 y2 x3 y3 ...'")
    if not (0 <= numbers[0] <= 1e6) or numbers[0] != int(numbers[0]):
        raise _line_error(file, line, f"the class is {line.text.split()[0][:40]}; expected a whole number from 0 on")
    if not (np.abs(numbers[1:]) <= _MOST_SHARE).all():
        raise _line_error(file, line, "coordinates are not in 0..1; expected shares of the image's width and height")
    class_id = int(numbers[0])
    if not names.has(class_id):
        raise _line_error(file, line, f"class {class_id} is not among the names in {names.source}")
    is_box = len(numbers) == 5
    return _Row(line, class_id, None if is_box else numbers[1:].reshape(-1, 2))


def _objects(file: Path, rows: Sequence[_Row], names: YoloNames) -> tuple[LabelledObject, ...]:
    found = []
    for row in rows:
        if row.outline is None:
            error = _line_error(file, row.line, "it is a box (5 numbers), and no mask can be drawn from a box")
            raise _BoxError(error.path, error.problem)
        found.append(LabelledObject(names.name(row.class_id), Polygons(((row.outline,),), is_relative=True)))
    return tuple(found)


def _line_error(file: Path, line: Line, problem: str) -> SampleError:
    return SampleError(file, f"line {line.number}: {problem}. Correct or delete the line.")
