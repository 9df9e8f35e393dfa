"""`evaluate` and `predict` from PNG files against the bare bf16 forward pass of the same batches.

    EASYSEG_DATA=... python benchmarks/inference.py [--rounds 5]

unet/resnet18 at 384x480 on CamVid's 101 validation images (480x360, padded), batch 8, random weights. The easyseg
figures hold everything: decoding files, padding, the network, the way back to the original size, scoring.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from camvid import folder

SIZE_HW, BATCH = (384, 480), 8


def main() -> None:
    """Measure all three in turn, round by round, and print the ratios."""
    from easyseg import Segmenter, load_dataset

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    data = load_dataset(folder(), ignore=[11]).split("val")
    segmenter = Segmenter("unet", "resnet18", weights=None, image_size=SIZE_HW)
    segmenter.fit(data, data, epochs=1, batch_size=BATCH, run_dir=None, verbose=False)  # its figures do not matter
    ratios: dict[str, list[float]] = {"evaluate": [], "predict": []}
    for number in range(1, options.rounds + 1):
        rates = {"bare": bare(segmenter, len(data))}
        report = segmenter.evaluate(data)
        rates["evaluate"] = report.images_per_second
        begun = time.perf_counter()
        results = segmenter.predict(folder() / "val")
        count = sum(1 for _ in results)
        seconds = time.perf_counter() - begun
        rates["predict"] = count / seconds
        for name, found in ratios.items():
            found.append(rates[name] / rates["bare"])
        words = "  ".join(f"{name} {rate:.2f}" for name, rate in rates.items())
        print(f"round {number}, images/s: {words}", flush=True)
    print("evaluate, share of wall time:", {name: round(s / report.seconds, 3) for name, s in report.timing.items()})
    print("predict, share of wall time:", {name: round(s / seconds, 3) for name, s in results.timing.items()})
    for name, found in ratios.items():
        print(f"{name} / bare: median {statistics.median(found):.3f} (from {min(found):.3f} to {max(found):.3f})")


@torch.inference_mode()
def bare(segmenter: object, count: int) -> float:
    """Return images per second of the network alone, on batches that lie ready."""
    images = torch.randint(0, 256, (BATCH, *SIZE_HW, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    floats = images.float()
    network = segmenter.network.network
    batches = [BATCH] * (count // BATCH) + ([count % BATCH] if count % BATCH else [])
    begun = time.perf_counter()
    for size in batches:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            network(floats[:size])
    return count / (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
