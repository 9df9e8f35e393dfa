"""What 100 objects on an image of 12 megapixels take: time and peak memory, from the detector's output to the picture.

    python benchmarks/large_results.py [--objects 100]

The network is left out: its output is drawn. Discs of 60 to 1,200 pixels across, patches of 28x28. Peak memory is that
of the whole process, imports and image included.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from easyseg.prediction.objects import FoundOnCanvas, ObjectLimits, ObjectPredictor
from easyseg.preprocessing import Preprocessing
from easyseg.results import InstanceResult

HEIGHT, WIDTH, SIDE, CELLS = 3000, 4000, 1024, 28


def drawn_output(count: int) -> FoundOnCanvas:
    """Return discs on a canvas of 1024x1024, of which the image takes the middle 768 rows."""
    generator = np.random.default_rng(0)
    sizes = generator.uniform(15, 300, count)
    centers = generator.uniform((0, 128), (SIDE, SIDE - 128), (count, 2))
    boxes = np.concatenate([centers - sizes[:, None] / 2, centers + sizes[:, None] / 2], axis=1)
    cells = (np.arange(CELLS) + 0.5) / CELLS * 2 - 1
    disc = 1 / (1 + np.exp((cells[:, None] ** 2 + cells**2 - 0.9) * 12))
    patches = np.repeat(disc[None], count, axis=0)
    return FoundOnCanvas(
        boxes.clip(0, SIDE).astype(np.float32),
        np.sort(generator.uniform(0.1, 1, count))[::-1].astype(np.float32),
        generator.integers(0, 3, count),
        patches.astype(np.float32),
    )


def main() -> None:
    """Go through everything a result can do but `masks`, which are 1.2 GB by themselves, and print what it takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=100)
    count = parser.parse_args().objects
    preprocessing = Preprocessing((SIDE, SIDE), "pad", 3)
    predictor = ObjectPredictor(None, preprocessing=preprocessing, limits=ObjectLimits(max_detections=count))
    image = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    folder = Path(tempfile.mkdtemp())
    report("imports, image", lambda: None)
    found = report(
        "way back", lambda: predictor.at_original_size(drawn_output(count), preprocessing.place((HEIGHT, WIDTH)))
    )
    result = InstanceResult(found, class_names=("a", "b", "c"), size_hw=(HEIGHT, WIDTH), image=image)
    report("areas", result.areas)
    report("polygons", result.polygons)
    report("to_coco", result.to_coco)
    report("plot", result.plot)
    report("save overlay", lambda: result.save(folder / "overlay.jpg"))
    report("save mask", lambda: result.save(folder / "mask.png", kind="mask"))
    report("each mask in turn", lambda: [int(one.mask.sum()) for one in result])
    print(len(result), "objects", sum(len(mask.counts) * 4 for mask in found.masks or ()) // 1024, "KiB of run lengths")


def report(what: str, work: Callable[[], Any]) -> Any:
    """Do the work and print its seconds and the process's peak so far."""
    begun = time.perf_counter()
    found = work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{what:18} {time.perf_counter() - begun:6.2f} s   peak {peak:5} MiB", flush=True)
    return found


if __name__ == "__main__":
    main()
