"""One of the processes of several trainings: a program of its own, which imports torch once and forks per case.

`python worlds.py FOLDER RANK CASE=PORT ...` does each case in a child process, as process RANK of a world whose store
listens at PORT, and writes what came of it into FOLDER: `CASE.RANK.json`. With `CASE=0` the child works alone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn

from easyseg import Sample, Segmenter
from easyseg.config import ModelSettings
from easyseg.errors import SampleError
from easyseg.models.instance.building import build_instance
from easyseg.models.instance.model import InstanceModel
from easyseg.segmenter import building
from easyseg.segmenter.building import build_model
from easyseg.segmenter.tasks import semantic
from easyseg.structures import LabelledObject, MaskPart
from easyseg.training import joining
from easyseg.training.callbacks import Callback, EpochReport, StopRequest
from easyseg.training.timing import StepTimer

SETTINGS = {"epochs": 3, "batch_size": 4, "learning_rate": 0.01, "patience": None, "verbose": True}


class StopsAt(Callback):
    """Asks to stop after an evaluation."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.heard = 0

    def epoch_ended(self, report: EpochReport) -> StopRequest | None:
        self.heard += 1
        return StopRequest("a callback wants it") if report.epoch + 1 == self.epoch else None


def segmenter() -> Segmenter:
    """Return a model whose random weights are the same everywhere."""
    return Segmenter("unet", "test_resnet", weights=None, image_size=32, precision="fp32")


def in_double(settings: ModelSettings, **named: Any) -> Any:
    """Build a network that computes in float64."""
    return build_model(settings, **named).double()


def without_statistics() -> list[str]:
    """Return the parameters to freeze so that no image's result depends on the others in its batch."""
    network = build_model(ModelSettings(encoder="test_resnet", image_size=(32, 32)), num_classes=4, weights=None)
    norms = [name for name, module in network.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    return [f"{name}.*" for name in norms]


def outcome(model: Segmenter, folder: Path, name: str) -> dict[str, Any]:
    """Return the history without times, and keep the weights."""
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in model.history.rows]
    save_file({key: value.numpy() for key, value in model.network.state_dict().items()}, folder / f"{name}.safetensors")
    return {"rows": rows, "stopped": model.history.stopped}


def after_steps(count: int, act: Callable[[], None]) -> None:
    """Do something after so many batches of this process."""
    done = StepTimer.step_done

    def noted(timer: StepTimer, images: int) -> None:
        done(timer, images)
        noted.steps += 1
        if noted.steps == count:
            act()

    noted.steps = 0
    StepTimer.step_done = noted


def equal(folder: Path, rank: int, precision: str, name: str) -> dict[str, Any]:
    """Train without anything that depends on how a batch is parted, evaluate and predict."""
    if precision == "double":
        semantic.build_model = in_double
    model, callback = segmenter(), StopsAt(99)
    # at ten times the usual rate, AdamW makes of the last digit of a tiny gradient a difference that is seen
    settings = SETTINGS if precision == "double" else {**SETTINGS, "learning_rate": 0.001}
    model.fit(folder / "shapes", freeze=without_statistics(), run_dir=None, callbacks=callback, **settings)
    report = model.evaluate(folder / "shapes", split="train", batch_size=2)
    names = [result.name for result in model.predict(folder / "shapes" / "train" / "images")]
    return {
        **outcome(model, folder, f"{name}.{rank}"),
        "heard": callback.heard,
        "images": [image.name for image in report.images],
        "mean_iou": report.mean_iou,
        "predicted": names,
    }


def squares(count: int) -> list[Sample]:
    """Return images of noise, each with two squares at the same places, of which the last is for validation."""
    masks = np.zeros((2, 64, 64), np.uint8)
    masks[0, 8:28, 10:34] = masks[1, 34:60, 28:58] = 1
    drawn = []
    for number in range(count):
        image = np.random.default_rng(number).integers(0, 256, (64, 64, 3)).astype(np.uint8)
        image[masks.any(axis=0)] //= 3
        objects = tuple(LabelledObject("square", MaskPart(mask)) for mask in masks)
        drawn.append(Sample(image, objects=objects, split="val" if number == count - 1 else "train"))
    return drawn


def drawing_no_boxes(*arguments: Any, **settings: Any) -> InstanceModel:
    """Build a detector that learns from all its boxes, as many in each image: means over images are means over boxes.

    The first stage takes every anchor that counts, which images with objects at the same places share; the second one
    gets no proposals beside the true boxes.
    """
    model = build_instance(*arguments, **settings)
    for sampler in (model.network.rpn.fg_bg_sampler, model.network.roi_heads.fg_bg_sampler):
        sampler.batch_size_per_image = 10**6
    model.network.rpn._post_nms_top_n = {"training": 0, "testing": 20}
    return model


def detector(folder: Path, rank: int, name: str) -> dict[str, Any]:
    """Train a detector by two plain steps, of three images and of one, which the first process has."""
    building.build_instance = drawing_no_boxes
    model = Segmenter("mask_rcnn", "test_convnext", weights=None, image_size=64, precision="fp32")
    settings: dict[str, Any] = {"optimizer": "sgd", "schedule": "constant", "augment": "none", "clip_gradients": None}
    model.fit(
        squares(5),
        epochs=1,
        batch_size=3,
        learning_rate=0.01,
        monitor="loss",
        run_dir=None,
        verbose=False,
        **settings,
    )
    return outcome(model, folder, f"{name}.{rank}")


def usual(folder: Path, rank: int, name: str, **settings: Any) -> dict[str, Any]:
    """Train with batch normalisation, dropout, a moving average and a run folder."""
    model = segmenter()
    given = {**SETTINGS, "ema": 0.5, "run_dir": folder / f"{name}.run", "checkpoint_every_seconds": 1e-3, **settings}
    model.fit(folder / "shapes", **given)
    return outcome(model, folder, f"{name}.{rank}")


def case(name: str, folder: Path, rank: int) -> dict[str, Any]:
    """Do one case."""
    kind = name.partition("_")[0]
    if kind in ("double", "single"):
        return equal(folder, rank, kind, name)
    if kind == "detector":
        return detector(folder, rank, name)
    if kind == "stop":
        return usual(folder, rank, name, callbacks=StopsAt(1) if rank == 0 else (), epochs=50)
    if name.endswith("_first") and rank == 1:
        after_steps(5, lambda: os.kill(os.getpid(), signal.SIGTERM))
    if name.endswith(("_first", "_again")):
        return usual(folder, rank, kind)
    if kind == "killed" and rank == 1:
        after_steps(3, lambda: os.kill(os.getpid(), signal.SIGKILL))
    if kind == "error" and rank == 1:
        after_steps(3, lambda: fail(folder))
    if kind == "small":
        return usual(folder, rank, name, batch_size=1)
    if kind == "synchronised":
        return usual(folder, rank, name, sync_batchnorm=True)
    return usual(folder, rank, name)


def fail(folder: Path) -> None:
    """Find a broken file."""
    raise SampleError(folder / "broken.png", "it is cut off.")


def start(name: str, folder: Path, rank: int, port: str) -> int:
    """Fork a child that does a case; return its exit status, negative for a signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code, found, began = 1, {}, time.perf_counter()
    output = os.open(folder / f"{name}.{rank}.txt", os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if port != "0":
        world = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
        os.environ.update({key: str(value) for key, value in world.items()})
        os.environ.update({"MASTER_ADDR": "localhost", "TORCHELASTIC_USE_AGENT_STORE": "True"})
    measured = measurement()
    try:
        found = case(name, folder, rank)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException as error:  # noqa: BLE001  the parent must see an exit status, never its own code run twice
        found = {"error": type(error).__name__, "message": str(error), "told": getattr(error, "is_told", None)}
    found["seconds"] = time.perf_counter() - began
    (folder / f"{name}.{rank}.json").write_text(json.dumps(found))
    sys.stderr.flush()
    if measured is not None:
        measured.stop()
        measured.save()
    os._exit(code)


def measurement() -> Any:
    """Begin to note which lines are reached, where the tests that started this program do so, too."""
    if "COVERAGE_FILE" not in os.environ:
        return None
    import coverage

    begun = coverage.Coverage(data_suffix=True, branch=True, source=["easyseg"])
    # easyseg is imported already; what this process prints belongs to the tests
    begun.set_option("run:disable_warnings", ["module-not-measured", "already-imported", "no-data-collected"])
    begun.start()
    return begun


def main(folder: Path, rank: int, cases: list[str]) -> None:
    """Do the cases in their order."""
    torch.set_num_threads(1)
    joining.PATIENCE_SECONDS = 600.0
    joining.JOIN_SECONDS = 600.0
    joining.LAST_WORDS_SECONDS = 1.0
    codes = {}
    for word in cases:
        name, _, port = word.partition("=")
        codes[name] = start(name, folder, rank, port)
    print(json.dumps(codes))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
