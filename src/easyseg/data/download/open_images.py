"""Fetching a part of Open Images: the images of some classes, with their masks.

What comes is a folder that `load_dataset` reads: `images/<split>/`, `masks/<split>/`, the rows of the table of masks
that belong to them, and the class names. Every file appears in one step, so a folder that is not complete is completed
by the same call.
"""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from easyseg.config import DownloadSettings
from easyseg.data.download.choosing import (
    checked_image_id,
    checked_mask_name,
    choose_images,
    choose_masks,
    machine_names,
)
from easyseg.data.download.failures import NotThereError
from easyseg.data.download.large_files import fetch_large_file
from easyseg.data.download.mask_archives import MaskArchives
from easyseg.data.download.progress import Progress
from easyseg.data.download.web import Patience, Web
from easyseg.data.download.workers import for_each
from easyseg.data.formats.open_images.class_titles import read_class_titles
from easyseg.data.formats.open_images.index_cache import open_mask_index
from easyseg.data.formats.open_images.mask_index import MaskIndex
from easyseg.errors import ConfigError, DownloadError, RunLockedError, SampleError
from easyseg.io.atomic import atomic_path, make_folder, write_bytes, write_text
from easyseg.io.images import check_image
from easyseg.io.json_files import read_json
from easyseg.io.locks import run_lock

WORK_FOLDER = ".download"
"""Holds what is fetched on the way; it may be deleted when all is there."""

_REQUEST = "open-images.json"
_CLASS_NAMES = "class-descriptions-boxable.csv"
_SPLITS = {"train": "train", "val": "validation", "test": "test"}
_MOST_IMAGE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What `download_open_images` fetched.

    Attributes:
        folder: where it is.
        split: the split.
        num_images: images that are there.
        num_masks: their masks.
        left_out: ids of images that were left out because the server lacks them or one of their masks.
    """

    folder: Path
    split: str
    num_images: int
    num_masks: int
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What is to be fetched: images and masks by their numbers in the index."""

    index: MaskIndex
    images: npt.NDArray[np.int64]
    masks: npt.NDArray[np.int64]

    def image_ids(self) -> list[str]:
        return [checked_image_id(name.decode()) for name in self.index.image_ids[self.images].tolist()]

    def mask_names(self) -> dict[str, str]:
        """Return each mask's name, with its image's id."""
        of_masks = np.searchsorted(self.index.starts, self.masks, side="right") - 1
        names = self.index.names[self.masks].tolist()
        ids = self.index.image_ids[of_masks].tolist()
        return {
            checked_mask_name(name.decode(), image_id.decode()): image_id.decode()
            for name, image_id in zip(names, ids, strict=True)
        }


def download_open_images(
    to: str | Path,
    settings: DownloadSettings | None = None,
    *,
    verbose: bool | Literal["auto"] = "auto",
    patience: Patience | None = None,
) -> Downloaded:
    """Fetch images of some classes with their masks into a folder that `load_dataset` reads.

    Args:
        to: the folder; it must be empty, or one that this function has begun. Nothing is written outside of it.
        settings: which classes, how many images, from where. One of the two must be given: `limit=None`, written out,
            is for all images of a split, which for training are 945,000.
        verbose: progress bars; "auto": on a terminal only.
        patience: how long to go on trying where the network fails.

    Raises:
        ConfigError: neither classes nor a limit are given.
        UnknownNameError: a class does not exist.
        DownloadError: something cannot be fetched; the same call goes on where it ended.
        OutputError: the folder cannot be written to, or the disk is full.
    """
    settings = settings or DownloadSettings()
    _refuse_everything(settings)
    folder = _own_folder(Path(to).expanduser())
    try:
        with run_lock(_inside(folder, WORK_FOLDER)):
            return _download(folder, settings, Progress(verbose), patience)
    except RunLockedError as error:
        raise DownloadError(f"Another process downloads into {folder}. Wait until it has ended.") from error


def _download(folder: Path, settings: DownloadSettings, progress: Progress, patience: Patience | None) -> Downloaded:
    web = Web(patience, threading.Event())
    prefix = _SPLITS[settings.split]
    labels, names_file = _fetch_class_names(web, folder, settings)
    _refuse_other_request(folder, labels)
    table = folder / WORK_FOLDER / f"{prefix}-annotations-object-segmentation.csv"
    with progress.of_bytes(table.name) as on_bytes:
        fetch_large_file(web, f"{settings.annotations_url}/v5/{table.name}", table, on_bytes)
    plan = _plan(table, labels, settings.limit)
    missing = _fetch_masks(web, folder, plan, settings, progress)
    missing |= _fetch_images(web, folder, plan, settings, progress)
    if len(missing) == len(plan.images):
        raise DownloadError(
            f"None of the {len(missing):,} images is at {settings.images_url} with all its masks. Check the address."
        )
    kept = {name for name, image_id in plan.mask_names().items() if image_id not in missing}
    _write_rows(table, folder / table.name, kept)
    write_bytes(folder / _CLASS_NAMES, names_file.read_bytes())
    return Downloaded(folder, settings.split, len(plan.images) - len(missing), len(kept), tuple(sorted(missing)))


def _refuse_everything(settings: DownloadSettings) -> None:
    """Refuse to fetch all there is unless that was asked for in words."""
    if settings.classes is None and "limit" not in settings.model_fields_set:
        raise ConfigError(
            "Neither classes nor a limit are given, which would fetch all images of the split: 945,000 to train on. "
            "Type --classes Cat Dog, or --limit 500, or --limit none where all are meant; in Python, "
            "DownloadSettings(classes=['Cat', 'Dog']), and so on."
        )


def _own_folder(folder: Path) -> Path:
    """Return the folder, made where it is missing; one that holds something else is refused."""
    make_folder(folder)
    names = {entry.name for entry in folder.iterdir()}
    if names and not names & {_REQUEST, WORK_FOLDER}:
        raise DownloadError(f"{folder} is not empty, and nothing in it is of Open Images. Choose another folder.")
    return folder


def _inside(folder: Path, *parts: str) -> Path:
    """Return a folder below another one, made where it is missing.

    Raises:
        DownloadError: a link leads out.
    """
    below = make_folder(folder.joinpath(*parts))
    if not below.resolve().is_relative_to(folder.resolve()):
        raise DownloadError(f"{below} leads out of {folder}, and nothing is written there. Remove the link.")
    return below


def _fetch_class_names(web: Web, folder: Path, settings: DownloadSettings) -> tuple[tuple[str, ...] | None, Path]:
    """Return the machine names of the classes asked for, None for all, and the file of all names."""
    path = _inside(folder, WORK_FOLDER) / _CLASS_NAMES
    fetch_large_file(web, f"{settings.annotations_url}/v5/{_CLASS_NAMES}", path)
    try:
        titles = read_class_titles([path])
    except SampleError as error:
        path.unlink()  # the same call would find it again
        raise DownloadError(f"The class names fetched cannot be used. {error}") from error
    return (None if settings.classes is None else machine_names(settings.classes, titles)), path


def _refuse_other_request(folder: Path, labels: tuple[str, ...] | None) -> None:
    """Write down the classes of the folder, or refuse others: their objects would be background in its images."""
    path = folder / _REQUEST
    asked = None if labels is None else list(labels)
    if not path.exists():
        write_text(path, json.dumps({"dataset": "Open Images V7", "classes": asked}, indent=2) + "\n")
        return
    try:
        known = read_json(path)
    except SampleError as error:
        raise DownloadError(f"{error} Or delete the folder, and begin anew.") from error
    if not isinstance(known, dict) or known.get("classes") != asked:
        listed = known.get("classes") if isinstance(known, dict) else None
        raise DownloadError(
            f"{folder} holds the classes {listed or 'of all kinds'}, and {asked or 'all'} are asked for; images with "
            "objects of only some classes drawn must not be mixed. Ask for the same classes, or choose another folder."
        )


def _plan(table: Path, labels: tuple[str, ...] | None, limit: int | None) -> _Plan:
    try:
        index = open_mask_index(table, folder=table.parent)
    except SampleError as error:
        table.unlink()  # the same call would find it again
        raise DownloadError(f"The table of masks fetched cannot be used. {error}") from error
    images = choose_images(index, labels, limit)
    if not len(images):
        raise DownloadError(f"No image of {table.name} has a mask of {', '.join(labels or ())}. Choose other classes.")
    return _Plan(index, images, choose_masks(index, images, labels))


def _fetch_masks(web: Web, folder: Path, plan: _Plan, settings: DownloadSettings, progress: Progress) -> set[str]:
    """Fetch the masks that are not there yet, and return the ids of images of which one does not exist."""
    split = _SPLITS[settings.split]
    target = _inside(folder, "masks", split)
    names = plan.mask_names()
    there = {entry.name for entry in target.iterdir()}
    todo = [name for name in names if name not in there]
    url = f"{settings.annotations_url}/v5/{split}-masks/{split}-masks-{{}}.zip"
    archives = MaskArchives(web, url, _inside(folder, WORK_FOLDER), progress)
    missing: set[str] = set()
    with progress.of_files("masks", len(names), done=len(names) - len(todo)) as on_file:
        for letter, group in _by_first_letter(todo):
            with archives.open(letter, group) as read:

                def fetch(name: str) -> None:
                    data = read(name)
                    if data is None:
                        missing.add(names[name])
                    else:
                        write_bytes(target / name, data)

                for_each(group, fetch, threads=settings.threads, stop=web.stop, on_done=on_file)
    return missing


def _fetch_images(web: Web, folder: Path, plan: _Plan, settings: DownloadSettings, progress: Progress) -> set[str]:
    """Fetch the images that are not there yet, and return the ids of those that the server does not have."""
    split = _SPLITS[settings.split]
    target = _inside(folder, "images", split)
    ids = plan.image_ids()
    there = {entry.name for entry in target.iterdir()}
    todo = [image_id for image_id in ids if f"{image_id}.jpg" not in there]
    missing: set[str] = set()

    def fetch(image_id: str) -> None:
        url = f"{settings.images_url}/{split}/{image_id}.jpg"
        try:
            data = web.get(url, most_bytes=_MOST_IMAGE_BYTES)
        except NotThereError:
            missing.add(image_id)
            return
        try:
            check_image(target / f"{image_id}.jpg", data)
        except SampleError as error:
            raise DownloadError(f"{url}: what the server sends is no whole image. {error.problem}") from error
        write_bytes(target / f"{image_id}.jpg", data)

    with progress.of_files("images", len(ids), done=len(ids) - len(todo)) as on_file:
        for_each(todo, fetch, threads=settings.threads, stop=web.stop, on_done=on_file)
    return missing


def _by_first_letter(names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield names by their first hexadecimal digit, which says the archive they are in."""
    for letter in sorted({name[0] for name in names}):
        yield letter, [name for name in names if name.startswith(letter)]


def _write_rows(table: Path, to: Path, kept: set[str]) -> None:
    """Write the rows of some masks into a table of their own, as they stand in the large one."""
    with table.open(encoding="utf-8-sig", newline="") as source, atomic_path(to) as temporary:
        rows = csv.reader(source)
        header = next(rows)
        column = [name.strip().lower() for name in header].index("maskpath")
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(row for row in rows if row and row[column] in kept)
