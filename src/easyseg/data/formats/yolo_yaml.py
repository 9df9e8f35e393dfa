"""The names and splits of YOLO datasets: data.yaml, classes.txt, lists of images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from easyseg.config import read_yaml
from easyseg.data.formats.annotation_files import shown
from easyseg.data.formats.folder_names import split_of_list
from easyseg.data.formats.layout import BadSamples
from easyseg.data.formats.named_files import NamedFiles
from easyseg.data.formats.places import Place, split_of_folders, split_of_name
from easyseg.data.formats.scanning import list_files, normal_form
from easyseg.errors import ConfigError, FormatError, SampleError
from easyseg.io.text_files import read_lines
from easyseg.structures import Split

_YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
TEXT_NAMES = ("classes.txt", "obj.names", "class_names.txt")
_SPLIT_KEYS: dict[str, Split] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_MOST_NAMES = 10_000


@dataclass(frozen=True, slots=True)
class YoloNames:
    """The class names by the numbers in label files; none where no file lists them.

    Attributes:
        by_id: each number's name.
        source: the file they come from; empty where there is none.
    """

    by_id: Mapping[int, str] = field(default_factory=dict)
    source: str = ""

    def has(self, class_id: int) -> bool:
        """Return whether a number is a class: without names, every one is."""
        return not self.by_id or class_id in self.by_id

    def name(self, class_id: int) -> str:
        """Return the name of a number."""
        return self.by_id.get(class_id, f"class_{class_id}")

    def listed(self, used: Iterable[int]) -> tuple[str, ...]:
        """Return all names in the order of their numbers; without names, those made up for the used numbers."""
        return tuple(dict.fromkeys(self.name(class_id) for class_id in sorted(self.by_id or used)))


@dataclass(frozen=True, slots=True)
class YoloSplits:
    """The images that count.

    Attributes:
        of_image: the split of each.
        notes: lines for people on what does not count.
    """

    of_image: Mapping[Path, Split | None]
    notes: tuple[str, ...] = ()


def read_yolo_names(root: Path, labels: Sequence[Path]) -> YoloNames:
    """Read the class names from data.yaml, else from classes.txt in the dataset's folder or beside labels.

    Args:
        root: the dataset's folder.
        labels: the label files.

    Raises:
        FormatError: data.yaml cannot be read, its names are no list and no mapping of numbers, or several files name
            the classes differently.
        SampleError: classes.txt cannot be read.
    """
    values, file = _yaml(root)
    if "names" in values:
        return YoloNames(_by_id(values["names"], file), file.name)
    for folder in dict.fromkeys((root, *(label.parent for label in labels))):
        for name in TEXT_NAMES:
            if (folder / name).is_file():
                return _listed_names(folder / name, root, labels)
    return YoloNames()


def _listed_names(file: Path, root: Path, labels: Sequence[Path]) -> YoloNames:
    """Read a list of names, of which there may be a copy for each split."""
    found = [line.text for line in read_lines(file)]
    for folder in dict.fromkeys(label.parent for label in labels) if file.parent != root else ():
        other = folder / file.name
        if other.is_file() and [line.text for line in read_lines(other)] != found:
            raise FormatError(f"{file} and {other} name different classes. Put the right one into {root}.")
    return YoloNames(dict(enumerate(found)), file.name)


def read_splits(root: Path, folder: Path, images: Sequence[Path], bad_samples: BadSamples) -> YoloSplits:
    """Return the images that count, each with its split.

    data.yaml says so, by folders or lists of images; else lists beside it; else the names of the folders.

    Args:
        root: the dataset's folder.
        folder: the folder of the images.
        images: all images.
        bad_samples: what happens to images in lists that are not there.

    Raises:
        FormatError: data.yaml cannot be read, or an entry in it leads to no image here.
        SampleError: a list cannot be read, or names an image that is not there.
    """
    reader = _SplitReader(root, folder, images, bad_samples)
    values, file = _yaml(root)
    for key, split in _SPLIT_KEYS.items():
        given = values.get(key)
        for entry in given if isinstance(given, list) else [given]:
            if isinstance(entry, str) and entry.strip():
                reader.take_entry(file, f"{key}: {entry}", (values.get("path"), entry), split)
    source = f"no split of {file.name}" if reader.found else "none of the lists"
    if not reader.found:
        for listed in sorted(root.glob("*.txt")):
            split_found = split_of_list(listed.stem)
            if split_found is not None:
                reader.take(reader.listed(listed), split_found)
    if not reader.found:
        return YoloSplits({image: split_of_folders(image.parent, folder) for image in images})
    return YoloSplits(reader.found, reader.notes(source))


class _SplitReader:
    """Collects the images of each split; an image that two splits name counts in the first."""

    def __init__(self, root: Path, folder: Path, images: Sequence[Path], bad_samples: BadSamples) -> None:
        self._root = root
        self._folder = folder
        self._images = images
        self._by_folder: dict[Path, list[Path]] = defaultdict(list)
        for image in images:
            self._by_folder[image.parent].append(image)
        self._places = {at: tuple(map(_key, at.relative_to(folder).parts)) for at in self._by_folder}
        self._bad_samples = bad_samples
        self._named = NamedFiles(folder, images)
        self._twice: set[Path] = set()
        self._remarks: list[str] = []
        self.found: dict[Path, Split | None] = {}

    def take(self, images: Iterable[Path], split: Split) -> None:
        """Let images be of a split."""
        for image in images:
            if self.found.setdefault(image, split) != split:
                self._twice.add(image)

    def take_entry(self, file: Path, entry: str, words: tuple[Any, str], split: Split) -> None:
        """Let the images that an entry of data.yaml means be of a split.

        Args:
            file: data.yaml.
            entry: the entry, for messages.
            words: the folder that it is relative to, and what it says.
            split: its split.

        Raises:
            FormatError: there are none; of the test split, which many exports name without having it, a remark.
        """
        base, name = _parts(words[0] if isinstance(words[0], str) else ""), _parts(words[1])
        is_list = bool(name) and name[-1].lower().endswith(".txt")
        images = self._of_list(words[1], file) if is_list else self._in_folder((*base, *name), split)
        if not images and split == "test":
            self._remarks.append(f"{file.name} has '{entry}', where no image is.")
        elif not images:
            raise FormatError(f"{file}: '{entry}' {self._why(is_list=is_list)} Correct the entry, or delete it.")
        self.take(images, split)

    def listed(self, file: Path) -> list[Path]:
        """Return the images that a list names."""
        found = []
        for line in read_lines(file):
            try:
                found.append(self._named.find(line.text, source=file))
            except SampleError as error:
                self._bad_samples.add(error)
        return found

    def notes(self, source: str) -> tuple[str, ...]:
        """Say what does not count, and why."""
        others = [image for image in self._images if image not in self.found]
        remarks = list(self._remarks)
        if others:
            remarks.append(f"Images in {source} left out: {len(others)}, such as {others[0].name}.")
        if self._twice:
            remarks.append(f"Images in two splits count in the first only: {len(self._twice)}.")
        return tuple(remarks)

    def _why(self, *, is_list: bool) -> str:
        if is_list:
            return f"is a list that is not below {self._root}, or names no image."
        folders = sorted(folder.relative_to(self._folder).as_posix() for folder in self._by_folder)
        more = f" and {len(folders) - 8} more" if len(folders) > 8 else ""
        return f"leads to no image. Folders of images are: {', '.join(folders[:8]) or 'none'}{more}."

    def _of_list(self, entry: str, source: Path) -> list[Path]:
        lists = NamedFiles(self._root, list_files(self._root, (".txt",)))
        file = lists.find_if_there(entry, source=source)
        return [] if file is None else self.listed(file)

    def _in_folder(self, parts: Place, split: Split) -> list[Path]:
        """Return the images in the folder that is the longest tail of a path, which may be of another machine."""
        for start in range(max(1, len(parts))):
            wanted = tuple(map(_key, parts[start:]))
            folders = [folder for folder, place in self._places.items() if place[: len(wanted)] == wanted]
            if any(map(split_of_name, parts[:start])) and not any(map(split_of_name, wanted)):
                # the word that was left off said which of these folders are meant
                folders = [folder for folder in folders if split_of_folders(folder, self._folder) in (None, split)]
            if folders:
                return [image for folder in folders for image in self._by_folder[folder]]
        return []


def _parts(path: str) -> Place:
    return tuple(part for part in path.strip().replace("\\", "/").split("/") if part not in ("", ".", ".."))


def _key(name: str) -> str:
    return normal_form(name).casefold()


def _yaml(root: Path) -> tuple[dict[str, Any], Path]:
    """Return what data.yaml holds; without a file of this name, what the only one holds that looks like it."""
    for name in _YAML_NAMES:
        path = root / name
        if path.is_file():
            try:
                return read_yaml(path), path
            except ConfigError as error:
                raise FormatError(f"{error} Correct or remove it.") from error
    found = [(values, file) for file in list_files(root, (".yaml", ".yml")) if (values := _values_alike(file, root))]
    if len(found) > 1:
        listed = " and ".join(file.name for _, file in found[:3])
        raise FormatError(f"{root}: {listed} could each name the classes. Call the right one {_YAML_NAMES[0]}.")
    return found[0] if found else ({}, root / _YAML_NAMES[0])


def _values_alike(file: Path, root: Path) -> dict[str, Any]:
    """Return what a file holds that has the entries of data.yaml, else nothing."""
    if file.parent != root:
        return {}
    try:
        values = read_yaml(file)
    except ConfigError:
        return {}  # YAML files of other programs may hold anything
    return values if "names" in values and ("train" in values or "val" in values) else {}


def _by_id(names: Any, file: Path) -> dict[int, str]:
    if isinstance(names, list):
        names = dict(enumerate(names))
    is_mapping = isinstance(names, dict) and 0 < len(names) <= _MOST_NAMES
    if not is_mapping or not all(_is_name(key, name) for key, name in names.items()):
        raise FormatError(f"{file}: names is {shown(names)}; expected a list of names, or {{0: name, 1: name}}.")
    return {int(key): str(name) for key, name in names.items()}


def _is_name(number: Any, name: Any) -> bool:
    return len(str(number)) < 10 and str(number).isdecimal() and isinstance(name, (str, int))
