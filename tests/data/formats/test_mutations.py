"""Whatever is done to annotation files, nothing but an EasySegError comes out."""

from __future__ import annotations

import json
import random
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from easyseg.data.reading import load_dataset
from easyseg.errors import EasySegError

FORMATS = (
    "coco", "labelme", "via", "voc", "yolo", "cityscapes", "supervisely", "geojson", "object_files", "instance_ids",
)  # fmt: skip
ANNOTATIONS: dict[str, str] = {
    "voc": "Segmentation*/*.png",
    "yolo": "**/*[!g]",
    "object_files": "*/masks/*.png",
    "instance_ids": "masks/*.png",
    "geojson": "*.geojson",
}
STRANGE: tuple[Any, ...] = (
    None, True, 0, -1, 1e308, -1e308, 10**40, float("nan"), float("inf"), "", "x", "../../etc/passwd", "/etc/passwd",
    "a\0b", "9" * 5000, "%2e%2e/%2fetc", [], {}, [[]], [None], [[1]], [1, 2, 3], {"": {}}, "polygon", "mask", "bitmap",
    [[0, 0], [1e9, 1], [2, "a"]], {"counts": "0" * 50, "size": [30, 40]}, {"counts": [1, -1], "size": [30, 40]},
    {"counts": [10**12], "size": [10**6, 10**6]}, "eJwDAAAAAAE=", 255, 65536,
)  # fmt: skip


def mutated(data: bytes, is_json: bool, rng: random.Random) -> bytes:
    """Return a file's bytes with one to three things changed, in its structure or anywhere."""
    for _ in range(rng.randint(1, 3)):
        try:
            data = _with_strange_value(data, rng) if is_json and rng.random() < 0.6 else _damaged(data, rng)
        except (ValueError, RecursionError):
            data = _damaged(data, rng)
    return data


def _with_strange_value(data: bytes, rng: random.Random) -> bytes:
    content = json.loads(data)
    places: list[tuple[Any, Any]] = []

    def visit(value: Any) -> None:
        keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        for key in list(keys):
            places.append((value, key))
            visit(value[key])

    visit(content)
    if not places:
        return _damaged(data, rng)
    holder, key = rng.choice(places)
    change = rng.randrange(4)
    if change == 0:
        del holder[key]
    elif change == 1 and isinstance(holder, list):
        holder.insert(key, holder[rng.randrange(len(holder))])
    else:
        other, name = rng.choice(places)
        holder[key] = other[name] if change == 2 and name in _keys(other) else rng.choice(STRANGE)
    return json.dumps(content).encode()


def _keys(holder: Any) -> Any:
    return holder if isinstance(holder, dict) else range(len(holder))


def _damaged(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    length = rng.choice((1, 2, 8, 64))
    change = rng.randrange(6)
    if change == 0:
        return data[:at]
    if change == 1:
        return data[:at] + data[at + length :]
    if change == 2:
        return data[:at] + rng.randbytes(length) + data[at:]
    if change == 3:
        return data[:at] + rng.randbytes(length) + data[at + length :]
    if change == 4:
        return data[:at] + b"[" * 20_000 + data[at:]
    return data[:at] + rng.choice((b"1e999", b"NaN", b"-", b"\xff\xfe", b"9" * 400, b"0 " * 40, b"\n")) + data[at:]


def use(root: Path, name: str, **arguments: Any) -> None:
    """Read a dataset and everything in it."""
    dataset = load_dataset(root, name, **arguments)
    for at in range(len(dataset)):
        dataset.mask(at)
        if dataset[at].objects is not None:
            dataset.instances(at)


def break_files(root: Path, name: str, count: int, write: Callable[[Path], None]) -> tuple[int, float]:
    """Mutate annotation files of a dataset one by one; return how many were refused, and the longest time."""
    write(root)
    files = [path for path in sorted(root.glob(ANNOTATIONS.get(name, "**/*.json"))) if path.is_file()]
    assert files
    refused, longest = 0, 0.0
    for seed in range(count):
        rng = random.Random(f"{name} {seed}")
        file = rng.choice(files)
        original = file.read_bytes()
        file.write_bytes(mutated(original, file.suffix in (".json", ".geojson"), rng))
        begin = time.perf_counter()
        try:
            use(root, name, on_bad_sample=rng.choice(("error", "error", "skip")))
        except EasySegError:
            refused += 1
        except Exception as error:
            kept = shutil.copy(file, root.parent / f"mutated{file.suffix}")
            raise AssertionError(f"{name}, seed {seed}, {kept}: {error!r}") from error
        longest = max(longest, time.perf_counter() - begin)
        file.write_bytes(original)
    return refused, longest


@pytest.mark.parametrize("name", FORMATS)
def test_mutated_annotations(name: str, writers: ModuleType, tmp_path: Path) -> None:
    """200 mutated files of each format are read or refused in words."""
    refused, _ = break_files(tmp_path / "data", name, 200, writers.WRITERS[name])
    assert refused >= 20  # else the mutations would prove nothing


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_very_many_mutated_annotations(name: str, writers: ModuleType, tmp_path: Path) -> None:
    """1,000 more of each format, 10,000 in all: none takes 5 s, and the memory stays below 1 GB."""
    refused, longest = break_files(tmp_path / "data", name, 1000, writers.WRITERS[name])
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"{name}: {refused} of 1000 refused, the longest took {longest:.2f} s, peak {peak_bytes / 2**20:.0f} MiB")
    assert longest < 5
    assert peak_bytes < 1 << 30
