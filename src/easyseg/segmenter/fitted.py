"""A model that can be used, with everything that has to travel with it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from easyseg import __version__
from easyseg.config import ModelSettings
from easyseg.devices import Compute, keep_freed_memory
from easyseg.errors import CheckpointError, EasySegError
from easyseg.io.checkpoints import load_checkpoint, load_tensors
from easyseg.models.instance.model import InstanceModel
from easyseg.models.instance.plan import DetectorPlan
from easyseg.models.summary import Summary, summarize
from easyseg.preprocessing import Preprocessing
from easyseg.segmenter.building import Model, build_model, classes_to_learn
from easyseg.structures import ClassMap


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """What a training began with, which tells whether a later one is the same.

    Attributes:
        goes_on: a model that was trained before.
        weights: sha256 of that model's weights; empty for a new model, whose settings say it all.
    """

    goes_on: bool = False
    weights: str = ""

    @classmethod
    def of(cls, fitted: FittedModel | None) -> StartingPoint:
        """Describe a training that goes on from a model, or from none."""
        if fitted is None:
            return cls()
        digest = hashlib.sha256()
        for name, value in fitted.model.state_dict().items():
            digest.update(f"{name} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return cls(goes_on=True, weights=digest.hexdigest()[:16])


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A network, its classes, and how images come to it.

    Attributes:
        model: the network; takes pixel values 0..255 and normalises inside.
        class_map: the classes and how mask values become them.
        preprocessing: how an image of any size comes to the network.
        batch_size: images per forward pass when measuring; kept because it can decide the last bit of a figure.
        metrics: the figures of the epoch the weights are from.
        split_seed: with which validation images were drawn where the data has no split of its own.
        validation_fraction: the share of them.
        held_out: tells these images from others, see `held_out_digest`; empty where none were drawn.
        unfinished: what the training that was interrupted, and whose best model so far this is, began with; None for
            any other model.
    """

    model: Model
    class_map: ClassMap
    preprocessing: Preprocessing
    batch_size: int = 8
    metrics: Mapping[str, float] = field(default_factory=dict)
    split_seed: int = 0
    validation_fraction: float = 0.2
    held_out: str = ""
    unfinished: StartingPoint | None = None

    def on(self, compute: Compute) -> FittedModel:
        """Return the same with the network on `compute`'s device, in channels-last memory, for evaluation."""
        if compute.device.type == "cpu":
            keep_freed_memory()
        model = self.model.to(compute.device).to(memory_format=torch.channels_last).eval()
        return replace(self, model=model)

    def header(self, settings: ModelSettings) -> dict[str, Any]:
        """Return what a model file's header says, as plain values; `read_fitted` is the way back."""
        plan = {"plan": self.model.plan.to_dict()} if isinstance(self.model, InstanceModel) else {}
        return {
            "easyseg_version": __version__,
            "torch_version": torch.__version__,
            "settings": {**settings.to_dict(), "weights": None, "classes": list(self.class_map.names)},
            "class_map": self.class_map.to_dict(),
            "preprocessing": self.preprocessing.to_dict(),
            "batch_size": self.batch_size,
            "metrics": {name: value for name, value in self.metrics.items() if math.isfinite(value)},
            "split": {
                "seed": self.split_seed,
                "validation_fraction": self.validation_fraction,
                "held_out": self.held_out,
            },
            **plan,
        }


def summarize_any(fitted: FittedModel | None, settings: ModelSettings) -> Summary:
    """Describe a model, or, where there is none yet, the one that `settings` would give."""
    num_classes = len(settings.classes or ["?"])
    model = fitted.model if fitted else build_model(settings, num_classes=num_classes, weights=None)
    return summarize(model, settings.image_size or (512, 512))


def read_fitted(path: Path) -> tuple[ModelSettings, FittedModel]:
    """Read a model file.

    Raises:
        CheckpointError: the file is missing, damaged, or no easyseg model.
    """
    checkpoint = load_checkpoint(path)
    header = checkpoint.header
    try:
        settings = ModelSettings.of(header["settings"])
        class_map = ClassMap.from_dict(header["class_map"])
        preprocessing = Preprocessing.from_dict(header["preprocessing"])
        batch_size, metrics = int(header["batch_size"]), dict(header["metrics"])
        seed, fraction = int(header["split"]["seed"]), float(header["split"]["validation_fraction"])
        held_out = str(header["split"].get("held_out", ""))  # files of earlier versions do not say
        plan = DetectorPlan.from_dict(header["plan"]) if "plan" in header else None
        num_classes = len(classes_to_learn(class_map, settings))
        model = build_model(settings, num_classes=num_classes, weights=None, plan=plan)
    except (KeyError, TypeError, ValueError, AttributeError, EasySegError) as error:
        raise CheckpointError(
            f"The header of {path} does not describe a model this version can build: {error}"
        ) from error
    load_tensors(model, checkpoint, path=path)
    return settings, FittedModel(model, class_map, preprocessing, batch_size, metrics, seed, fraction, held_out)
