"""Finding YOLO's text files, and the image that each belongs to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from easyseg.data.formats.folder_names import folder_meaning
from easyseg.data.formats.places import Place, agree, place_of
from easyseg.data.formats.scanning import list_files, normal_form, peeked
from easyseg.data.formats.yolo_yaml import TEXT_NAMES
from easyseg.errors import SampleError
from easyseg.io.text_files import read_lines

_Key = tuple[Place, str]


class LabelIndex:
    """Label files by the images they belong to: each to one image, or to none.

    A label file belongs to the image of its name that lies in the same place, apart from the folders for images and
    labels and the order of all; else to the only one whose place does not contradict its own.

    Args:
        root: the dataset's folder.
        labels: all label files.
        folder: the folder of the images.
        images: all images, also those that do not count.
    """

    def __init__(self, root: Path, labels: Sequence[Path], folder: Path, images: Sequence[Path]) -> None:
        self._fitting: dict[Path, list[Path]] = {}
        self._images_of: dict[Path, list[Path]] = defaultdict(list)
        by_key: dict[_Key, list[Path]] = defaultdict(list)
        for label in labels:
            by_key[_key(label, root)].append(label)
        keys = {image: _key(image, folder) for image in images}
        for image, key in keys.items():
            self._take(image, by_key.get(key, []))
        taken = set(keys.values())
        self._take_by_name(keys, {key: found for key, found in by_key.items() if key not in taken})
        self._num_left_over = sum(label not in self._images_of for label in labels)

    def find(self, image: Path) -> Path | None:
        """Return the label file of an image, None where there is none.

        Raises:
            SampleError: several fit, or the one that does fits another image as well.
        """
        labels = self._fitting.get(image, [])
        if len(labels) > 1:
            listed = " and ".join(str(label) for label in labels[:3])
            raise SampleError(image, f"several label files fit this image: {listed}. Keep one of them.")
        if not labels:
            return None
        others = [other for other in self._images_of[labels[0]] if other != image]
        if others:
            raise SampleError(
                image,
                f"its label file, {labels[0]}, fits {others[0]} as well. Put each label file where its image is, with "
                "labels/ in place of images/, or remove one of the images.",
            )
        return labels[0]

    def left_over(self) -> int:
        """Return how many label files belong to no image."""
        return self._num_left_over

    def _take(self, image: Path, labels: list[Path]) -> None:
        if labels:
            self._fitting[image] = labels
        for label in labels:
            self._images_of[label].append(image)

    def _take_by_name(self, keys: dict[Path, _Key], labels: dict[_Key, list[Path]]) -> None:
        """Give images that have no label in their own place one of their name, where its place may be theirs."""
        by_stem: dict[str, list[tuple[Place, list[Path]]]] = defaultdict(list)
        for (place, stem), found in labels.items():
            by_stem[stem].append((place, found))
        for image, (place, stem) in keys.items():
            if image not in self._fitting:
                others = by_stem.get(stem, [])
                self._take(image, [label for other, found in others if agree(place, other) for label in found])


def label_files(root: Path, images: Sequence[Path]) -> list[Path]:
    """List the text files in folders of labels, else those beside images of their names."""
    files = [file for file in list_files(root, (".txt",)) if file.name.lower() not in TEXT_NAMES]
    in_folders = [
        file for file in files if any(folder_meaning(part).role == "mask" for part in file.relative_to(root).parts[:-1])
    ]
    if in_folders:
        return in_folders
    stems = {image.with_suffix("") for image in images}
    return [file for file in files if file.with_suffix("") in stems]


def look_like_labels(files: Sequence[Path]) -> bool:
    """Return whether text files hold rows of numbers, by a look at a few of them."""
    return any(_begins_with_numbers(file) for file in peeked(files))


def _key(file: Path, root: Path) -> _Key:
    return place_of(file, root), normal_form(file.stem)


def _begins_with_numbers(file: Path) -> bool:
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
