"""Mean IoU on CamVid's validation images after a fixed time of training, from random weights.

    EASYSEG_DATA=... python benchmarks/accuracy.py easyseg --seconds 200
    EASYSEG_DATA=... python benchmarks/accuracy.py easyseg --seconds 200 --augment standard
    EASYSEG_DATA=... python benchmarks/accuracy.py plain --seconds 200

unet/resnet18 at 192x256, batch 8. "plain" is the loop of loops.py at a constant learning rate of 1e-3; it gets the
whole time for training, its evaluations are not counted. "easyseg" pays for everything it does, reading and evaluating
included. Both are scored at the original size; the curve is printed as seconds and mean IoU.

200 s are some twelve epochs, for which --augment light, the default here, is the better choice: "standard" pays only in
longer trainings.
"""

from __future__ import annotations

import argparse
import time

import torch
from camvid import folder, mean_iou
from loops import BATCH, SIZE_HW, new_loader, new_model


def plain(seconds: float) -> None:
    """Train as a tutorial would, and score every 25 s; the clock stands still meanwhile."""
    model, loader = new_model(), new_loader()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    trained, next_score = 0.0, 25.0
    while trained < seconds:
        begun = time.perf_counter()
        for images, masks in loader:
            loss = torch.nn.functional.cross_entropy(model(images), masks, ignore_index=255)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            now = time.perf_counter()
            trained, begun = trained + now - begun, now
            if trained >= next_score or trained >= seconds:
                print(f"{trained:.0f} s  {mean_iou(model, SIZE_HW):.4f}", flush=True)
                next_score, begun = next_score + 25, time.perf_counter()
            if trained >= seconds:
                break


def easyseg(seconds: float, augment: str) -> None:
    """Train with easyseg's defaults, but for the augmentation, for the given time."""
    from easyseg import Segmenter, load_dataset

    segmenter = Segmenter("unet", "resnet18", weights=None, image_size=SIZE_HW)
    history = segmenter.fit(
        load_dataset(folder(), ignore=[11]),
        batch_size=BATCH,
        time_budget=seconds,
        patience=None,
        run_dir=None,
        verbose=False,
        evaluate_every=2,
        augment=augment,
    )
    for row in history.rows:
        print(f"{row['seconds']:.0f} s  {row['mean_iou']:.4f}")


def main() -> None:
    """Run one of the two and print its curve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loop", choices=["plain", "easyseg"])
    parser.add_argument("--seconds", type=float, default=200)
    parser.add_argument("--augment", default="light", help="preset of easyseg's augmentation")
    options = parser.parse_args()
    if options.loop == "plain":
        plain(options.seconds)
    else:
        easyseg(options.seconds, options.augment)


if __name__ == "__main__":
    main()
