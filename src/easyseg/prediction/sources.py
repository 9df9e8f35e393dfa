"""What can be predicted on, and reading it ahead of the network."""

from __future__ import annotations

import glob
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from easyseg.brightness import ValueRange
from easyseg.devices import processor_count
from easyseg.errors import DataError, SampleError, closest
from easyseg.io.images import IMAGE_SUFFIXES, number_type, read_image, read_numbers, to_bytes
from easyseg.pictures import brightness_of, is_picture, upright
from easyseg.structures import ImageArray

_MOST_READ_THREADS = 4

Item = TypeVar("Item")
Ready = TypeVar("Ready")


@dataclass(frozen=True, slots=True)
class Source:
    """One image to predict on.

    Attributes:
        image: a file, or (H, W, C) pixels.
        path: the file it comes from, None for pixels.
        is_picture: the pixels are a PIL image's, whose types of numbers have a meaning, as those of files do.
    """

    image: Path | npt.NDArray[Any]
    path: Path | None = None
    is_picture: bool = False

    def pixels(self, channels: int, value_range: ValueRange | None = None) -> ImageArray:
        """Return (H, W, channels) uint8; a file is decoded now.

        Args:
            channels: what the network takes.
            value_range: the numbers it knows as black and white; arrays of uint8 are bytes in any case.

        Raises:
            SampleError: a file cannot be read, or holds other numbers than the network knows.
            DataError: an array holds other numbers than the network knows, or another number of channels.
        """
        if isinstance(self.image, Path):
            if value_range is None and number_type(self.image) == np.uint16:
                _refuse_unused_bits(read_numbers(self.image), self.image)
            return read_image(self.image, channels=channels, value_range=value_range)
        return _with_channels(self._array_as_bytes(self.image, value_range), channels)

    def _array_as_bytes(self, image: npt.NDArray[Any], value_range: ValueRange | None) -> ImageArray:
        place = "PIL image" if self.is_picture else "array"
        if image.dtype == np.uint8:
            return image
        if value_range is not None:
            return value_range.to_bytes(image, place)
        if not self.is_picture:
            raise _no_bytes(image)
        _refuse_unused_bits(image, place)
        return to_bytes(image, place)


def read_threads() -> int:
    """Return how many images are read at a time, ahead of the network."""
    return min(_MOST_READ_THREADS, processor_count())


def is_single(source: Any) -> bool:
    """Tell whether `source` is one image rather than a collection of them."""
    if isinstance(source, (str, PathLike)):
        path = Path(source)
        return path.is_file() or not (path.is_dir() or glob.has_magic(str(source)))
    is_tensor = hasattr(source, "detach")  # which is refused at once, and not when the first result is asked for
    return is_tensor or is_picture(source) or (isinstance(source, np.ndarray) and source.ndim != 4)


def find_sources(source: Any, *, recursive: bool = True) -> Iterator[Source]:
    """Yield the images that `source` names, in order, without decoding them; hidden files of a folder are left out.

    Args:
        source: an image file, a folder, a glob pattern, an (H, W), (H, W, C) or (N, H, W, C) uint8 array, a PIL
            image, or an iterable of any of these.
        recursive: look into the folders of a folder, too.

    Raises:
        DataError: nothing is there, or the kind of source is not known.
    """
    if isinstance(source, (str, PathLike)):
        yield from _find_files(Path(source), recursive=recursive)
    elif isinstance(source, np.ndarray):
        yield from (Source(_checked(image)) for image in (source if source.ndim == 4 else [source]))
    elif is_picture(source):
        yield Source(_checked(brightness_of(upright(source))), is_picture=True)
    elif isinstance(source, Iterable) and not isinstance(source, (bytes, Mapping)) and not hasattr(source, "detach"):
        for item in source:
            yield from find_sources(item, recursive=recursive)
    else:
        raise DataError(
            f"Cannot predict on a {type(source).__name__}. Give a file, a folder, a glob pattern, an (H, W, 3) uint8 "
            "array (a tensor's is tensor.permute(1, 2, 0).numpy()), a PIL image, or a list of these."
        )


def ahead(
    items: Iterable[Item], prepare: Callable[[Item], Ready], *, threads: int, depth: Callable[[Ready], int]
) -> Iterator[Ready]:
    """Apply `prepare` to items in background threads and yield the outcomes in order.

    Memory is bounded: until the first outcome is there, `threads` items are in work; from then on, as many outcomes
    wait to be used as `depth` says of the latest one.

    Args:
        items: drawn from as needed, in the caller's thread.
        prepare: run in a thread; decoding and scaling release Python's lock.
        threads: how many run at once.
        depth: how many items to be ahead by while outcomes are like this one; large ones take more memory.
    """
    waiting: deque[Future[Ready]] = deque()
    allowed = threads
    pool = ThreadPoolExecutor(threads, thread_name_prefix="easyseg-read")
    try:
        for outcome in _submitted(pool, items, prepare):
            waiting.append(outcome)
            while len(waiting) > allowed:
                ready = waiting.popleft().result()
                allowed = max(1, depth(ready))
                yield ready
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _submitted(
    pool: ThreadPoolExecutor, items: Iterable[Item], prepare: Callable[[Item], Ready]
) -> Iterator[Future[Ready]]:
    """Hand items to the threads; an error of the items themselves takes its place behind those before it."""
    try:
        for item in items:
            yield pool.submit(prepare, item)
    except Exception as error:  # noqa: BLE001 - raised in its turn, when the outcome is asked for
        failed: Future[Ready] = Future()
        failed.set_exception(error)
        yield failed


def _find_files(path: Path, *, recursive: bool) -> Iterator[Source]:
    if path.is_dir():
        found = path.rglob("*") if recursive else path.glob("*")
        files = sorted(file for file in found if _is_image_name(file.relative_to(path)) and file.is_file())
        if not files:
            raise DataError(f"{path} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    elif path.is_file():
        files = [path]
    else:
        names = glob.iglob(str(path), recursive=True) if glob.has_magic(str(path)) else ()  # noqa: PTH207 - may be absolute
        files = sorted(Path(name) for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES)
        if not files:
            raise DataError(_nothing_there(path))
    yield from (Source(file, file) for file in files)


def _is_image_name(name: Path) -> bool:
    """Tell whether a name below a folder is that of an image; hidden files are programs' own, such as "._photo.jpg"."""
    return name.suffix.lower() in IMAGE_SUFFIXES and not any(part.startswith(".") for part in name.parts)


def _nothing_there(path: Path) -> str:
    if glob.has_magic(str(path)):
        return f"The pattern {str(path)!r} matches no image."
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    near = closest(path.name, siblings)
    return f"There is no file or folder {str(path)!r}." + (f" Did you mean {near!r}?" if near else " Check the path.")


def _checked(image: Any) -> npt.NDArray[Any]:
    if image.dtype.kind not in "buif" or image.ndim not in (2, 3) or 0 in image.shape:
        raise _no_bytes(image)
    pixels: npt.NDArray[Any] = image
    return pixels


def _no_bytes(image: npt.NDArray[Any]) -> DataError:
    return DataError(
        f"An image array has shape {image.shape} and dtype {image.dtype}; expected (H, W) or (H, W, C) uint8 with "
        "values 0..255. For values 0..1, type (image * 255).astype('uint8')."
    )


def _refuse_unused_bits(values: npt.NDArray[Any], place: Path | str) -> None:
    """Refuse 16-bit values that use the lower 12 bits at the most: read as bytes, they would be nearly black."""
    if values.dtype == np.uint16 and (most := int(values.max())) < 1 << 12:
        raise SampleError(
            place,
            f"its 16-bit values reach up to {most} only, so it would be nearly black; the model was trained on bytes. "
            "Save it as an 8-bit image, as bright as those of the training were.",
        )


def _with_channels(image: ImageArray, channels: int) -> ImageArray:
    given = 1 if image.ndim == 2 else image.shape[2]
    if image.ndim == 2:
        image = image[..., None]
    if given == channels:
        return np.ascontiguousarray(image)
    if given == 1:
        return np.ascontiguousarray(np.repeat(image, channels, axis=2))
    if given == 4 and channels == 3:
        return np.ascontiguousarray(image[..., :3])
    raise DataError(
        f"An image array has {given} channels, but the model takes {channels}. Give an array (H, W, {channels})."
    )
