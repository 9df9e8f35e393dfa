"""How fast `Dataset.check` goes over very many small images, beside a plain decoding of the same files.

It draws a dataset of crops of CamVid (JPEG images, PNG masks) into a folder, once, and then takes, round by round, the
time in which one thread decodes all files with Pillow, and the time of the checkup, each in a process of its own; the
checkup's memory is that of all its processes together, at its highest.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from easyseg import load_dataset

SPLITS = {"train": 0.8, "val": 0.2}


def write_crops(folder: Path, data: Path, count: int, size: int) -> None:
    """Write `count` crops of the street scenes, each of its own place, scale and brightness, as JPEG and PNG files."""
    generator = np.random.default_rng(0)
    sources = sorted((data / "camvid/train").glob("*.png"))
    pairs = [
        (cv2.imread(str(path)), cv2.imread(str(data / "camvid/trainannot" / path.name), cv2.IMREAD_UNCHANGED))
        for path in sources
    ]
    for split, share in SPLITS.items():
        for kind in ("images", "masks"):
            (folder / split / kind).mkdir(parents=True)
        for number in range(round(count * share)):
            image, mask = pairs[generator.integers(len(pairs))]
            side = int(generator.integers(size, min(4 * size, *mask.shape)))
            top, left = (int(generator.integers(0, length - side + 1)) for length in mask.shape)
            step = int(generator.choice([-1, 1]))
            part = image[top : top + side, left : left + side][:, ::step] * generator.uniform(0.7, 1.2)
            small = cv2.resize(part.clip(0, 255).astype(np.uint8), (size, size), interpolation=cv2.INTER_AREA)
            ids = cv2.resize(
                np.ascontiguousarray(mask[top : top + side, left : left + side][:, ::step]),
                (size, size),
                interpolation=cv2.INTER_NEAREST,
            )
            cv2.imwrite(str(folder / split / f"images/{number:06}.jpg"), small, [cv2.IMWRITE_JPEG_QUALITY, 90])
            cv2.imwrite(str(folder / split / f"masks/{number:06}.png"), ids)


def decode_all(folder: Path) -> dict[str, float]:
    """Decode all files in one thread with Pillow."""
    files = sorted(str(path) for path in folder.rglob("*.*") if path.is_file())
    begun = time.perf_counter()
    for path in files:
        with Image.open(path) as picture:
            picture.load()
    return {"seconds": time.perf_counter() - begun, "files": len(files)}


def check_all(folder: Path) -> dict[str, float]:
    """Check the dataset and watch the memory of this process and those below it."""
    begun = time.perf_counter()
    dataset = load_dataset(folder)
    loaded = time.perf_counter()
    is_done = threading.Event()
    peaks: list[int] = [resident_bytes()]

    def watch() -> None:
        while not is_done.wait(0.05):
            peaks.append(resident_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    checking = time.perf_counter()
    checkup = dataset.check(verbose=True)
    seconds = time.perf_counter() - checking
    is_done.set()
    watcher.join()
    processor = sum(os.times()[:4])
    return {
        "load_seconds": loaded - begun,
        "seconds": seconds,
        "peak_bytes": max(peaks),
        "processor_seconds": processor,
        "findings": len(checkup),
    }


def resident_bytes() -> int:
    """Return the memory of this process and its children."""
    own = str(os.getpid())
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if own in (folder.name, parent):
                total += int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            continue  # it has ended meanwhile
    return total


def main() -> None:
    """Write the data where they are missing, run both in turn, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("crops"))
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", choices=["decode", "check"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        found = decode_all(arguments.folder) if arguments.part == "decode" else check_all(arguments.folder)
        print(json.dumps(found))
        return
    if not arguments.folder.exists():
        write_crops(arguments.folder, Path(os.environ["EASYSEG_DATA"]), arguments.count, arguments.size)
    ratios = []
    for number in range(1, arguments.rounds + 1):
        decoded, checked = (part(arguments.folder, name) for name in ("decode", "check"))
        ratios.append(decoded["seconds"] / checked["seconds"])
        whole = decoded["seconds"] / (checked["seconds"] + checked["load_seconds"])
        print(
            f"round {number}: Pillow {decoded['seconds']:.1f} s, check {checked['seconds']:.1f} s "
            f"({ratios[-1]:.2f} times as fast; with load_dataset, {checked['load_seconds']:.1f} s, {whole:.2f} times), "
            f"{checked['peak_bytes'] / 2**20:.0f} MiB, {checked['processor_seconds']:.1f} s of processor"
        )
    print(f"check is {statistics.median(ratios):.2f} times as fast, {min(ratios):.2f} to {max(ratios):.2f}")


def part(folder: Path, name: str) -> dict[str, float]:
    """Run one part in a process of its own and return its figures."""
    program = [sys.executable, __file__, "--folder", str(folder), "--part", name]
    done = subprocess.run(program, stdout=subprocess.PIPE, check=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


if __name__ == "__main__":
    main()
