"""The image files below a folder, each with what the names of its folders say about it."""

from __future__ import annotations

import contextlib
import itertools
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from easyseg.data.formats.folder_names import FolderMeaning, Role, folder_meaning
from easyseg.errors import DataError, FormatError
from easyseg.io.decoding import near_name
from easyseg.io.images import IMAGE_SUFFIXES
from easyseg.structures import Split


@dataclass(frozen=True, slots=True)
class _Listing:
    """The files below a folder, sorted, with their endings in lower case, and the links that lead out of it."""

    files: Sequence[Path]
    endings: Sequence[str]
    links_out: tuple[Path, ...]


_listed: ContextVar[dict[Path, _Listing] | None] = ContextVar("_listed", default=None)
_SKIPPED_FOLDERS = frozenset(["__macosx", "node_modules", "@eadir"])
_PEEKED = 20
"""So many files are looked into to find out what all of them are."""
_LEAST_BYTES = 3
"""Fewer hold no annotation: nothing, the end of a line, or {}."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """An image or mask file.

    Attributes:
        path: the file.
        stem: its name without suffix, in one Unicode form.
        role: whether it is an image or a mask, None where the folders' names do not say.
        split: the split the folders' names say.
        place: the names of the folders it lies in, without those that only say role or split; an image and its mask
            agree in it.
        base: the folder that says the role, or the file's own.
    """

    path: Path
    stem: str
    role: Role | None
    split: Split | None
    place: tuple[str, ...]
    base: Path


def find_files(root: Path, *, images: Path | None = None, masks: Path | None = None) -> list[FoundFile]:
    """List all image files below a dataset's folder, in the order of their names.

    Args:
        root: the dataset's folder.
        images: the folder of the images, absolute or inside `root`; the names of folders then say splits only.
        masks: likewise for the masks. Give both or none.

    Raises:
        FormatError: one of the folders does not exist, or only one is given.
    """
    if images is None and masks is None:
        return _below(root, role=None)
    if images is None or masks is None:
        missing, given = ("images", "masks") if images is None else ("masks", "images")
        raise FormatError(f"{given}= is given without {missing}=. Type both folders.")
    image_folder, mask_folder = _folder(root, images, "images"), _folder(root, masks, "masks")
    found_masks = _below(mask_folder, role="mask")
    mask_paths = {file.path for file in found_masks}
    found_images = [file for file in _below(image_folder, role="image") if file.path not in mask_paths]
    return found_images + found_masks


def list_images(root: Path) -> list[Path]:
    """List all image files below a folder, sorted; hidden files and folders are left out."""
    return list_files(root, IMAGE_SUFFIXES)


def list_files(root: Path, suffixes: Sequence[str]) -> list[Path]:
    """List all files with one of these endings below a folder, sorted; hidden files and folders are left out."""
    known = _listed.get()
    listing = None if known is None else known.get(root)
    if listing is None:
        listing = _listing(root)
    if known is not None:
        known[root] = listing
    wanted = frozenset(suffixes)
    return [path for path, ending in zip(listing.files, listing.endings, strict=True) if ending in wanted]


@contextlib.contextmanager
def listed_once() -> Iterator[None]:
    """List each folder at most once meanwhile; a dozen formats look at the same one."""
    token = _listed.set({})
    try:
        yield
    finally:
        _listed.reset(token)


def notes_on_links(root: Path, images: Iterable[Path]) -> tuple[str, ...]:
    """Say that images are links that lead out of a folder, or lie in such; see `listed_once`.

    Args:
        root: the dataset's folder.
        images: the images of the dataset, or some of them.
    """
    listing = (_listed.get() or {}).get(root)
    links = set() if listing is None else set(listing.links_out)
    if not links:
        return ()
    used = links.intersection(images := list(images))
    used |= {above for folder in {image.parent for image in images} for above in (folder, *folder.parents)} & links
    if not used:
        return ()
    return (f"Links that lead out of the dataset's folder are followed, such as {min(used).relative_to(root)}.",)


def _listing(root: Path) -> _Listing:
    """List a folder.

    Links are followed wherever they lead: they are part of the dataset, as its maker put it together. Only those to a
    folder that the dataset itself lies in are not, and nothing but files is listed: no pipe, no device.
    """
    found: list[Path] = []
    links: list[Path] = []
    real_root = _real(root)
    pending = [(root, frozenset([real_root]))]
    while pending:
        folder, above = pending.pop()
        for entry in _entries(folder):
            if entry.name.startswith(".") or entry.name.lower() in _SKIPPED_FOLDERS:
                continue
            path = folder / entry.name
            if _is_folder(entry):
                resolved = _real(path)
                if resolved in above or real_root.is_relative_to(resolved):
                    continue  # a link that leads back up
                pending.append((path, above | {resolved}))
            elif _is_special(entry):
                continue
            else:
                found.append(path)
            if entry.is_symlink():
                links.append(path)
    found.sort(key=lambda path: path.parts)  # as paths compare, but many times faster
    endings = [f".{str(path).rpartition('.')[2].lower()}" for path in found]  # Path.suffix takes three times as long
    return _Listing(found, endings, _outside(links, real_root))


def _is_folder(path: os.DirEntry[str] | Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a link to itself, or to where one may not look
        return False


def _is_special(entry: os.DirEntry[str]) -> bool:
    """Return whether this is a pipe, a device or the like; a link that leads nowhere is told where it is read."""
    try:
        return not entry.is_file() and Path(entry.path).exists()
    except OSError:
        return False


def _real(folder: Path) -> Path:
    return Path(os.path.realpath(folder))  # which, unlike Path.resolve, bears links to themselves


def _outside(links: Sequence[Path], real_root: Path) -> tuple[Path, ...]:
    """Return the links whose targets lie in folders outside; many lead to files of the same folder."""
    real: dict[Path, Path] = {}
    found = []
    for link in links:
        target = link.parent / link.readlink()
        folder = target if _is_folder(link) else target.parent
        if folder not in real:
            real[folder] = _real(folder)
        if not real[folder].is_relative_to(real_root):
            found.append(link)
    return tuple(found)


def peeked(files: Sequence[Path]) -> Iterator[Path]:
    """Yield the files that are looked into to find out what all of them are: a few, from everywhere, none empty.

    The first files of a folder are no fair sample: many datasets begin with images that show nothing.
    """
    step = max(1, len(files) // _PEEKED)
    spread = itertools.chain.from_iterable(files[start::step] for start in range(step))
    yield from itertools.islice((file for file in spread if _has_content(file)), _PEEKED)


def image_folder(root: Path, images: Path | None) -> Path:
    """Return the folder that images of annotation files are looked for in: `images=`, else the dataset's own.

    Raises:
        FormatError: there is no such folder.
    """
    return root if images is None else _folder(root, images, "images")


def existing_folder(path: str | os.PathLike[str]) -> Path:
    """Return a dataset's folder.

    Raises:
        DataError: there is none; the message offers a folder of nearly this name.
        FormatError: it is a file.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_file():
        hint = "Unpack it first, then type" if folder.suffix.lower() in (".zip", ".tar", ".gz", ".7z") else "Type"
        raise FormatError(f"{folder} is a file; a dataset is a folder. {hint} the path of its folder.")
    near = None
    if folder.parent.is_dir():
        near = near_name(folder.name, (entry.name for entry in _entries(folder.parent) if entry.is_dir()))
    hint = f" Did you mean {str(folder.parent / near)!r}?" if near else ""
    raise DataError(f"There is no folder {str(folder)!r}.{hint}")


def normal_form(name: str) -> str:
    """Return a name in the one Unicode form that names are compared in; file systems differ in it."""
    return unicodedata.normalize("NFC", name)


def nearest_name(name: str, files: Iterable[FoundFile]) -> str:
    """Return " The nearest ... is ..." for a message, or nothing where no name comes near."""
    near = near_name(name, (file.path.name for file in files))
    return f" The nearest name is {near!r}." if near else ""


def _below(root: Path, *, role: Role | None) -> list[FoundFile]:
    meanings: dict[str, FolderMeaning] = {}
    found: list[FoundFile] = []
    for folder, paths in itertools.groupby(list_images(root), key=lambda path: path.parent):
        parts = folder.relative_to(root).parts
        known = [meanings.setdefault(part, folder_meaning(part)) for part in parts]
        at = None if role is not None else _deciding_folder(known)
        split = next((meaning.split for meaning in known if meaning.split), None)
        place = tuple(
            normal_form(part)
            for index, (part, meaning) in enumerate(zip(parts, known, strict=True))
            if index != at and not (meaning.split and meaning.is_known)
        )
        file_role = role if role is not None else known[at].role if at is not None else None
        base = root.joinpath(*parts[: at + 1]) if at is not None else folder if role is None else root
        found += [FoundFile(path, normal_form(path.stem), file_role, split, place, base) for path in paths]
    return found


def _deciding_folder(meanings: list[FolderMeaning]) -> int | None:
    """Return the number of the folder that says what a file is; a word for masks counts wherever it stands."""
    roles = [meaning.role for meaning in meanings]
    return next((roles.index(role) for role in ("mask", "image") if role in roles), None)


def _folder(root: Path, folder: Path, argument: str) -> Path:
    inside = root / folder
    if not inside.is_dir():
        near = near_name(folder.name, (entry.name for entry in _entries(root) if entry.is_dir()))
        hint = f" Did you mean {near!r}?" if near else ""
        raise FormatError(f"{argument}={str(folder)!r}: there is no folder {inside}.{hint}")
    return inside


def _has_content(file: Path) -> bool:
    try:
        return file.stat().st_size >= _LEAST_BYTES
    except OSError:
        return False


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder}: the folder cannot be read ({error.strerror}). Check the path.") from error
