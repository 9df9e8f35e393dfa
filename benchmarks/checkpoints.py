"""What periodic checkpoints cost: time spent in saves as a share of the time of training.

    EASYSEG_DATA=... python benchmarks/checkpoints.py [--seconds 200]

unet/resnet18 at 192x256 on CamVid, batch 8, once with the default settings and once with a checkpoint every 60 s
besides those at the ends of epochs. Training time is that of the whole `fit` without its saves, reading and evaluating
included. What the model file of each best epoch costs is no checkpoint, and not counted as one.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from camvid import folder

SIZE_HW, BATCH = (192, 256), 8


def measure(seconds: float, **settings: Any) -> tuple[float, list[float], float]:
    """Return the seconds of a training, those of each of its saves, and the MB of a checkpoint."""
    from easyseg import Segmenter, load_dataset
    from easyseg.segmenter.resuming import Checkpoints

    saves: list[float] = []
    sizes: list[int] = [0]
    save = Checkpoints.save

    def timed(checkpoints: Checkpoints) -> None:
        begun = time.perf_counter()
        save(checkpoints)
        saves.append(time.perf_counter() - begun)
        newest = max(path for path in run_dir.glob("checkpoints/0*"))
        sizes.append(sum(path.stat().st_size for path in newest.iterdir()))

    with tempfile.TemporaryDirectory() as place:
        run_dir = Path(place) / "run"
        Checkpoints.save = timed
        try:
            segmenter = Segmenter("unet", "resnet18", weights=None, image_size=SIZE_HW)
            history = segmenter.fit(
                load_dataset(folder(), ignore=[11]),
                batch_size=BATCH,
                time_budget=seconds,
                patience=None,
                run_dir=run_dir,
                verbose=False,
                **settings,
            )
        finally:
            Checkpoints.save = save
    return float(history["seconds"][-1]), saves, max(sizes) / 1e6


def main() -> None:
    """Measure both settings and print their shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=200.0, help="of training with each of the settings")
    seconds = parser.parse_args().seconds
    for name, settings in (("default", {}), ("every 60 s", {"checkpoint_every_seconds": 60.0})):
        total, saves, megabytes = measure(seconds, **settings)
        share = sum(saves) / max(1e-9, total - sum(saves))
        print(
            f"{name:10s}  {len(saves)} saves of {megabytes:.0f} MB, {statistics.median(saves):.2f} s each (longest "
            f"{max(saves):.2f} s), in {total:.0f} s: {share:.2%} of the training time",
            flush=True,
        )


if __name__ == "__main__":
    main()
