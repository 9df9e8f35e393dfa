"""How many images fit into memory: found out by training steps in a process of its own, which may fail.

`batch_size="auto"` asks here. Where there is plenty of memory, nothing is tried. A device that ran out of memory can
leave a process unusable, and a full main memory ends one without a word, so neither happens in the process that trains.
"""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TextIO

import torch

from easyseg.config import ModelSettings
from easyseg.devices import Compute, is_out_of_memory, most_memory_used
from easyseg.segmenter.tasks import TrialShape, work_of
from easyseg.structures import Task
from easyseg.training.optim import build_optimizer

BYTES_PER_PIXEL = 6000
"""What a step in fp32 takes for each pixel of a batch in a large network; U-Net on ResNet-50 takes half of it."""

USABLE_SHARE = 0.8
"""Of the free memory; the rest is for what fragments, for images on their way, and for other people."""

TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """What is to be tried.

    Attributes:
        settings: of the model, as plain values.
        num_classes: it tells apart.
        task: decides the loss.
        optimizer: its name.
        size_hw: height and width of the images in pixels.
        device: where.
        precision: "fp32", "bf16" or "fp16".
        num_objects: in an image; 0 where objects are not told apart.
        batch_sizes: to try, smallest first.
    """

    settings: Mapping[str, Any]
    num_classes: int
    task: Task
    optimizer: str
    size_hw: tuple[int, int]
    device: str
    precision: str
    num_objects: int = 0
    batch_sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True, slots=True)
class BatchChoice:
    """A batch size, and a sentence on why it is smaller than usual; empty where it is not."""

    batch_size: int
    note: str = ""


def choose_fitting_batch(usual: int, request: ProbeRequest, *, free_bytes: int) -> BatchChoice:
    """Return the usual batch size, or the largest smaller one that fits into the free memory.

    Args:
        usual: the batch size without any regard to memory.
        request: model and images.
        free_bytes: of the device.
    """
    limit = USABLE_SHARE * free_bytes
    pixels = usual * math.prod(request.size_hw)
    if pixels * BYTES_PER_PIXEL / (1 if request.precision == "fp32" else 2) <= limit or usual == 1:
        return BatchChoice(usual)
    peaks = probe(request)
    found = usual if peaks is None else largest_fitting(peaks, usual=usual, limit=limit)
    if found == usual:
        return BatchChoice(usual)
    return BatchChoice(
        found,
        f"Batch size {found} in place of {usual}, so that a step fits into the {free_bytes / 1e9:.1f} GB of memory "
        f"that are free. Type batch_size={usual} to try all the same.",
    )


def largest_fitting(peaks: Mapping[int, int], *, usual: int, limit: float) -> int:
    """Return the largest batch size up to `usual` whose step stays below `limit` bytes; at least 1.

    Args:
        peaks: batch sizes to the most bytes that were in use; sizes that did not fit are missing.
        usual: the largest answer.
        limit: in bytes.
    """
    if len(peaks) < 2:  # not even a second image fitted
        return 1
    (small, least), (large, most) = min(peaks.items()), max(peaks.items())
    per_image = max(1.0, (most - least) / (large - small))
    return max(1, min(usual, math.floor(small + (limit - least) / per_image)))


def probe(request: ProbeRequest) -> dict[int, int] | None:
    """Take training steps in a process of its own.

    Returns:
        batch sizes to the most bytes in use, those that fitted; None where the trial itself went wrong.
    """
    try:
        child = subprocess.run(
            [sys.executable, "-P", "-m", __name__],
            input=json.dumps(asdict(request), default=str),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if child.returncode not in (0, -signal.SIGKILL):  # ended for its memory, it has told what fitted before
        return None
    lines = [json.loads(line) for line in child.stdout.splitlines() if line.startswith("{")]
    return {int(line["batch_size"]): int(line["bytes"]) for line in lines}


def run_probe(request: ProbeRequest, out: TextIO) -> None:
    """Train on noise, batch size by batch size, and write a line of JSON after each that fits."""
    precision = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[request.precision]
    compute = Compute(torch.device(request.device), precision)
    settings = ModelSettings.model_validate(dict(request.settings))
    work = work_of(settings)
    shapes = [
        TrialShape(request.num_classes, request.task, size, request.size_hw, request.num_objects)
        for size in request.batch_sizes
    ]
    model = work.trial_model(settings, shapes[0])
    model.to(compute.device).to(memory_format=torch.channels_last).train()
    optimizer = build_optimizer(
        model.parts(),
        optimizer=request.optimizer,
        learning_rate=0.0,
        encoder_learning_rate=0.0,
        weight_decay=0.0,
        adam_epsilon=1e-8,
    )
    for shape in shapes:
        batch = work.trial_batch(settings, shape).to(compute.device)
        try:
            for _ in range(2):  # the optimizer takes its memory in the first step
                with compute.autocast():
                    loss = torch.stack(list(model.losses(batch).values())).sum()
                torch.autograd.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return
        out.write(json.dumps({"batch_size": shape.batch_size, "bytes": most_memory_used(compute.device)}) + "\n")
        out.flush()


def main(source: TextIO = sys.stdin, out: TextIO = sys.stdout) -> None:
    """Read a request as JSON and write what fits."""
    values = json.load(source)
    run_probe(ProbeRequest(**{**values, "size_hw": tuple(values["size_hw"])}), out)


if __name__ == "__main__":
    main()
