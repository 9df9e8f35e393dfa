"""YOLO segmentation: one text file for each image, a line per object, with or without data.yaml."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from easyseg.data.formats.gathering import Gathered
from easyseg.data.formats.layout import BEYOND, DEFAULTS, FILLED, HOW_TO_FILL_BOXES, Layout, ReadOptions
from easyseg.data.formats.scanning import image_folder, list_images
from easyseg.data.formats.yolo_labels import LabelIndex, label_files, look_like_labels
from easyseg.data.formats.yolo_yaml import YoloNames, YoloSplits, read_splits, read_yolo_names
from easyseg.errors import FormatError, SampleError
from easyseg.io.text_files import Line, read_lines
from easyseg.structures import BoxShape, LabelledObject, Points, Polygons, Sample

NAME = "yolo"
LOOKS_FOR = "labels/*.txt with a line 'class x1 y1 x2 y2 ...' for each object, beside images/, as YOLO has them"
OVERRULES = ("folders", "txt_splits")

_MOST_SHARE = 2.0
"""Outlines may reach a little beyond the image; larger numbers are pixels."""
_BEYOND = f"{BEYOND}; x and y of a line are the middle of its box, as shares of the image"
_MARGIN_SHARE = 0.01
"""Boxes may reach so far beyond the image; annotation tools round."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of a label file: a class, and an outline, (K, 2), or box, as shares of the image's width and height."""

    line: Line
    class_id: int
    place: Points | BoxShape


def recognises(path: Path, annotations: str | None = None) -> bool:
    """Return whether there are text files of objects, by a look at a few of them."""
    if not path.is_dir() or annotations is not None:
        return False
    return look_like_labels(label_files(path, list_images(path)))


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
    labels = label_files(path, listed)
    if not labels:
        raise FormatError(f"{path}: no text files of objects found. Expected {LOOKS_FOR}.")
    names = read_yolo_names(path, labels)
    splits = read_splits(path, folder, listed, options.bad_samples)
    index = LabelIndex(path, labels, folder, listed)
    _refuse_strangers(path, labels, index, listed)
    gathered = Gathered(NAME, folder, options)
    ids = _gather(gathered, splits, index, names, options)
    gathered.counts["Label files that belong to no image left out"] += index.left_over()
    layout = gathered.layout(
        names.listed(ids),
        images=[image for image in listed if image in splits.of_image],
        notes=("Objects are drawn in the order of the lines, later ones on top.", *splits.notes),
        takes_unlabelled=True,
        names_source=names.source or "the labels",
    )
    # images without a label, too, are in the split that a list or data.yaml says
    samples = [replace(sample, split=splits.of_image[Path(str(sample.image))]) for sample in layout.samples]
    return replace(layout, samples=samples)


def _gather(
    gathered: Gathered, splits: YoloSplits, index: LabelIndex, names: YoloNames, options: ReadOptions
) -> set[int]:
    """Add the images that have a label file, and return the classes in them."""
    ids: set[int] = set()
    boxes: list[SampleError] = []
    for image, split in splits.of_image.items():
        try:
            label = index.find(image)
            if label is None:
                continue
            rows = _rows(label, names, gathered.counts)
            ids.update(row.class_id for row in rows)
            gathered.add(Sample(image, None, split, NAME, objects=_objects(label, rows, names, gathered)), label)
        except _BoxError as error:
            boxes.append(error)
        except SampleError as error:
            options.bad_samples.add(error)
        gathered.mention(image)
    _refuse_boxes(boxes, gathered, options)
    return ids


def _refuse_strangers(root: Path, labels: Sequence[Path], index: LabelIndex, images: Sequence[Path]) -> None:
    """Refuse labels of which none belongs to an image: all images would pass for pictures of the background."""
    if images and index.left_over() == len(labels):
        raise FormatError(
            f"{root}: none of the {len(labels)} label files, such as {labels[0].relative_to(root)}, belongs to one of "
            f"the {len(images)} images, such as {images[0].name}. Expected {LOOKS_FOR}; type images='...' with the "
            "folder of the images."
        )


class _BoxError(SampleError):
    """A line is a box."""


def _refuse_boxes(boxes: Sequence[SampleError], gathered: Gathered, options: ReadOptions) -> None:
    """Refuse a dataset of boxes; in another one, or where such images are left out, those that have some."""
    if boxes and options.bad_samples.are_refused and not any(sample.objects for sample in gathered.samples):
        raise FormatError(
            f"{Path(boxes[0].path).parent}: the labels hold boxes ('class x y width height'), and no mask can be drawn "
            f"from a box. Export the dataset for segmentation, with the outlines of the objects. {HOW_TO_FILL_BOXES}"
        )
    for error in boxes:
        options.bad_samples.add(error)


def _rows(file: Path, names: YoloNames, counts: Counter[str]) -> list[_Row]:
    rows = [_row(file, line, names) for line in read_lines(file)]
    outlines = [row.place for row in rows if not isinstance(row.place, BoxShape)]
    counts["Polygons of fewer than three points cover nothing"] += sum(len(outline) < 3 for outline in outlines)
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
    if len(numbers) > 5:
        return _Row(line, class_id, numbers[1:].reshape(-1, 2))
    x, y, width, height = numbers[1:].tolist()
    box = BoxShape(x - width / 2, y - height / 2, x + width / 2, y + height / 2, is_relative=True)
    return _Row(line, class_id, box)


def _objects(file: Path, rows: Sequence[_Row], names: YoloNames, gathered: Gathered) -> tuple[LabelledObject, ...]:
    found = []
    for row in rows:
        if not isinstance(row.place, BoxShape):
            shape: Polygons | BoxShape = Polygons(((row.place,),), is_relative=True)
        elif gathered.boxes == "fill":
            shape = row.place
        else:
            error = _line_error(file, row.line, "it is a box (5 numbers), and no mask can be drawn from a box")
            raise _BoxError(error.path, f"{error.problem} {HOW_TO_FILL_BOXES}")
        found.append(LabelledObject(names.name(row.class_id), shape))
    boxes = [row.place for row in rows if isinstance(row.place, BoxShape)]
    gathered.counts[FILLED] += len(boxes)
    gathered.counts[_BEYOND] += sum(box.reaches_beyond((1, 1), margin=_MARGIN_SHARE) for box in boxes)
    return tuple(found)


def _line_error(file: Path, line: Line, problem: str) -> SampleError:
    return SampleError(file, f"line {line.number}: {problem}. Correct or delete the line.")
