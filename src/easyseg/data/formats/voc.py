"""Pascal VOC: palette masks of classes and of objects, beside JPEGImages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence, Set
from pathlib import Path

from easyseg.data.formats.class_names import FoundNames, read_class_names
from easyseg.data.formats.folder_names import split_of_list
from easyseg.data.formats.layout import DEFAULTS, Layout, ReadOptions
from easyseg.data.formats.pairing import with_labels
from easyseg.data.formats.places import split_of_folders
from easyseg.data.formats.scanning import image_folder, list_files, list_images, normal_form
from easyseg.errors import FormatError, SampleError
from easyseg.io.images import IMAGE_SUFFIXES
from easyseg.io.text_files import read_lines
from easyseg.structures import NumberedObjects, Sample, Split

NAME = "voc"
LOOKS_FOR = "SegmentationClass/ beside JPEGImages/, as Pascal VOC has them"
OVERRULES = ("folders",)

OFFICIAL_NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""The classes of VOC 2007 to 2012 in the order of their palette values."""

_CLASS_FOLDERS = ("segmentationclass", "segmentationclasspng", "segmentationclassraw")
_OBJECT_FOLDER = "segmentationobject"
_IMAGE_FOLDERS = ("jpegimages", "pngimages", "images")
_TRAIN_AND_VAL = "trainval"
_VOID = 255
_XML_NAME = re.compile(r"<object>\s*<name>([^<]{1,80})</name>")
_MOST_XML_FILES = 200


def recognises(path: Path, annotations: str | None = None) -> bool:
    """Return whether there is a folder of VOC's masks, judged by names only."""
    return path.is_dir() and annotations is None and bool(_class_folders(list_images(path)))


def read(
    path: Path, *, images: Path | None = None, masks: Path | None = None, options: ReadOptions = DEFAULTS
) -> Layout:
    """List the images with their masks and, where there is SegmentationObject, their objects.

    Lists in ImageSets/Segmentation say which images count, and their splits; else all that have a mask do, and the
    folders that JPEGImages and SegmentationClass lie in say the split.

    Args:
        path: the dataset's folder.
        images: the folder of the images, where it is not called JPEGImages.
        masks: not needed by this format.
        options: what happens to broken samples.

    Raises:
        FormatError: there is no folder of masks.
        SampleError: an image of a list or of a mask is missing.
    """
    files = list_images(path)
    folders = _class_folders(files)
    if not folders:
        raise FormatError(f"{path}: no folder SegmentationClass found. Expected {LOOKS_FOR}.")
    listed = list_images(image_folder(path, images)) if images is not None else files
    counts: Counter[str] = Counter()
    samples: list[Sample] = []
    for folder in folders:
        base = folder.parent
        masks_by_stem = _by_stem([file for file in files if file.parent == folder])
        objects = _by_stem([f for f in files if f.parent.parent == base and f.parent.name.lower() == _OBJECT_FOLDER])
        pictures = _by_stem([f for f in listed if images is not None or _is_image_of(f, base)])
        wanted = _of_lists(base, masks_by_stem.keys() | pictures.keys())
        if wanted:
            counts["Images with a mask that no list names left out"] += len(masks_by_stem.keys() - wanted.keys())
        for stem, split in (wanted or dict.fromkeys(sorted(masks_by_stem), split_of_folders(base, path))).items():
            try:
                samples.append(_sample(stem, split, base, pictures, masks_by_stem, objects))
            except SampleError as error:
                options.bad_samples.add(error)
        counts["Images without a mask left out"] += len(pictures.keys() - masks_by_stem.keys() - wanted.keys())
    names = _names(path, folders)
    notes = tuple(f"{remark}: {count}." for remark, count in counts.items() if count)
    ordered = sorted(samples, key=lambda sample: str(sample.image))
    return Layout(
        with_labels(ordered, path),
        names.names,
        names.class_values,
        names.source,
        notes,
        skipped=tuple(options.bad_samples.skipped),
    )


def _class_folders(files: Sequence[Path]) -> list[Path]:
    return sorted({file.parent for file in files if file.parent.name.lower() in _CLASS_FOLDERS})


def _by_stem(files: Sequence[Path]) -> dict[str, Path]:
    return {normal_form(file.stem): file for file in files}


def _is_image_of(file: Path, base: Path) -> bool:
    return file.parent.parent == base and file.parent.name.lower() in _IMAGE_FOLDERS


def _of_lists(base: Path, stems: Set[str]) -> dict[str, Split | None]:
    """Return the stems that lists name, with their splits; empty where there are no lists."""
    folder = base / "ImageSets" / "Segmentation"
    lists = [file for file in list_files(folder, (".txt",)) if split_of_list(file.stem)] if folder.is_dir() else []
    both = [file for file in lists if file.stem.lower() == _TRAIN_AND_VAL]
    found: dict[str, Split | None] = {}
    for file in lists:
        if file not in both:
            for line in read_lines(file):
                found.setdefault(_stem_in(line.text, stems), split_of_list(file.stem))
    # "trainval" repeats the other two, or stands for the one of them that is missing
    rest: Split = "val" if "train" in found.values() and "val" not in found.values() else "train"
    for file in both:
        for line in read_lines(file):
            found.setdefault(_stem_in(line.text, stems), rest)
    return found


def _stem_in(line: str, stems: Set[str]) -> str:
    """Return the stem that a line of a list means, which may be a file's name, hold spaces, or end in a flag."""
    text = normal_form(line).replace("\\", "/")
    names = [words.rsplit("/", 1)[-1] for words in (text, text.split()[0])]
    spellings = [name.removesuffix(suffix) for name in names for suffix in _suffixes_of(name)]
    return next((stem for stem in spellings if stem in stems), spellings[-1])


def _suffixes_of(name: str) -> tuple[str, ...]:
    suffix = Path(name).suffix
    return ("", suffix) if suffix.lower() in IMAGE_SUFFIXES else ("",)


def _sample(
    stem: str,
    split: Split | None,
    base: Path,
    images: dict[str, Path],
    masks: dict[str, Path],
    objects: dict[str, Path],
) -> Sample:
    if stem not in images:
        raise SampleError(base / "JPEGImages" / stem, "the image is missing. Add it, or type images='...'.")
    numbers = objects.get(stem) if stem in masks else None  # which also holds their classes
    shapes = None if numbers is None else NumberedObjects(numbers, class_name=None, void=(_VOID,))
    if stem not in masks and split != "test":
        raise SampleError(images[stem], "this image stands in a list but has no mask in SegmentationClass. Add it.")
    return Sample(images[stem], masks.get(stem), split, NAME, objects=shapes)


def _names(root: Path, folders: Sequence[Path]) -> FoundNames:
    """Return the names of a file of class names, else VOC's own where the boxes beside the masks have these."""
    for folder in (root, *(folder.parent for folder in folders)):
        found = read_class_names(folder)
        if found.names or found.class_values:
            return found
    used: set[str] = set()
    for folder in folders:
        boxes = folder.parent / "Annotations"
        for file in list_files(boxes, (".xml",))[:_MOST_XML_FILES] if boxes.is_dir() else ():
            used.update(_XML_NAME.findall("\n".join(line.text for line in read_lines(file))))
    if used and used <= set(OFFICIAL_NAMES):
        return FoundNames(OFFICIAL_NAMES, None, "VOC's own list")
    return FoundNames()
