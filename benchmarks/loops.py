"""Training loops to compare `fit` with, each in a process of its own; prints one JSON line.

    python benchmarks/loops.py plain --steps 60
    python benchmarks/loops.py lightning --steps 60
    python benchmarks/loops.py easyseg --steps 60
    python benchmarks/loops.py bare --steps 30

All train unet/resnet18 on CamVid at 192x256, batch 8, from random weights. "plain" and "lightning" compute in fp32 and
decode and augment every epoch in a DataLoader with two workers; "bare" is the bf16 channels-last step on one fixed
batch, without any data loading; "easyseg" is `Segmenter.fit` as it comes. Times are taken after a warm-up.
"""

from __future__ import annotations

import argparse
import json
import time

import segmentation_models_pytorch as smp
import torch
from camvid import NUM_CLASSES, CamVid, folder, training_transform
from torch.utils.data import DataLoader

SIZE_HW, BATCH, WARM_UP = (192, 256), 8, 8


def new_model() -> torch.nn.Module:
    """Build the network all loops train."""
    torch.manual_seed(0)
    return smp.Unet("resnet18", encoder_weights=None, classes=NUM_CLASSES)


def new_loader() -> DataLoader:
    """Build the loader of the loops that are not easyseg's."""
    data = CamVid("train", training_transform(SIZE_HW))
    return DataLoader(data, batch_size=BATCH, shuffle=True, num_workers=2, drop_last=True)


def plain(steps: int) -> list[float]:
    """Train as a tutorial would."""
    model, loader = new_model(), new_loader()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    times = [time.perf_counter()]
    while len(times) <= steps + WARM_UP:
        for images, masks in loader:
            loss = torch.nn.functional.cross_entropy(model(images), masks, ignore_index=255)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            times.append(time.perf_counter())
            if len(times) > steps + WARM_UP:
                break
    return times


def lightning(steps: int) -> list[float]:
    """Train with Lightning 2 around the same model."""
    import logging
    import warnings

    import lightning

    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    times = [time.perf_counter()]

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = new_model()

        def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
            loss = torch.nn.functional.cross_entropy(self.model(batch[0]), batch[1], ignore_index=255)
            self.log("loss", loss)
            return loss

        def on_train_batch_end(self, *_: object) -> None:
            times.append(time.perf_counter())

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=1e-3)

    trainer = lightning.Trainer(
        max_steps=steps + WARM_UP,
        max_epochs=-1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(), new_loader())
    return times


def bare(steps: int) -> list[float]:
    """Repeat the bf16 channels-last step on one batch; nothing is loaded."""
    model = new_model().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    images = torch.rand(BATCH, 3, *SIZE_HW).contiguous(memory_format=torch.channels_last)
    masks = torch.randint(0, NUM_CLASSES, (BATCH, *SIZE_HW))
    times = [time.perf_counter()]
    while len(times) <= steps + WARM_UP:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(images)
        loss = torch.nn.functional.cross_entropy(logits.float(), masks, ignore_index=255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter())
    return times


def easyseg(steps: int, **settings: object) -> list[float]:
    """Train with easyseg; the clock runs from batch to batch and stands still while it evaluates."""
    from easyseg import Segmenter, callbacks, load_dataset

    times: list[float] = []

    class Clock(callbacks.Callback):
        def batch_ended(self, step: callbacks.StepReport) -> None:
            times.append(time.perf_counter())

    data = load_dataset(folder(), ignore=[11])
    epochs = -(-(steps + WARM_UP) // -(-len(data.split("train")) // BATCH))
    segmenter = Segmenter("unet", "resnet18", weights=None, image_size=SIZE_HW)
    options = {"batch_size": BATCH, "run_dir": None, "verbose": False, "evaluate_every": epochs, **settings}
    segmenter.fit(data, epochs=epochs, callbacks=Clock(), **options)
    return times


def main() -> None:
    """Run one loop and print its images per second."""
    loops = {"plain": plain, "lightning": lightning, "bare": bare, "easyseg": easyseg}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loop", choices=loops)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    times = loops[options.loop](options.steps)[WARM_UP:]
    rate = BATCH * (len(times) - 1) / (times[-1] - times[0])
    print(json.dumps({"loop": options.loop, "steps": len(times) - 1, "images_per_second": round(rate, 2)}))


if __name__ == "__main__":
    main()
