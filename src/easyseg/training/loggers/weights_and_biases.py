"""Runs on Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from easyseg.errors import OutputError, require_extra
from easyseg.structures import IGNORE_INDEX, MaskArray
from easyseg.training.callbacks import FitSummary
from easyseg.training.loggers.base import LoggedPicture, Logger, RunDescription
from easyseg.visualization import as_rgb

MAX_MASK_ID = 127
"""wandb 0.31 keeps the ids of a mask in signed bytes; a larger one would be shown as class 0."""


class WandbLogger(Logger):
    """Logs to Weights & Biases; with WANDB_MODE=offline, into the run folder, from where `wandb sync` uploads it.

    A resumed run goes on under the same id.

    Args:
        project: None: WANDB_PROJECT, or "easyseg".
        entity: user or team; None: WANDB_ENTITY, or the user's own.
        name: of the run; None: WANDB_NAME, or the run folder's.
        tags: of the run.
        mode: "online", "offline" or "disabled"; None: WANDB_MODE, or online.
    """

    name: ClassVar[str] = "wandb"
    package: ClassVar[str] = "wandb"
    extra: ClassVar[str] = "wandb"

    def __init__(
        self,
        project: str | None = None,
        *,
        entity: str | None = None,
        name: str | None = None,
        tags: Sequence[str] = (),
        mode: str | None = None,
    ) -> None:
        self._project = project
        self._entity = entity
        self._run_name = name
        self._tags = tuple(tags)
        self._mode = mode
        self._id: str | None = None
        self._run: Any = None
        self._wandb: Any = None

    def start(self, run: RunDescription) -> str:
        """Begin a run, or go on with the one that `restore` named."""
        self._wandb = wandb = require_extra("wandb", extra="wandb")
        try:
            self._run = wandb.init(
                project=self._project or os.environ.get("WANDB_PROJECT", "easyseg"),
                entity=self._entity,
                name=self._run_name or os.environ.get("WANDB_NAME", run.name),
                tags=self._tags or None,
                mode=self._mode,
                dir=run.folder,
                config=dict(run.settings),
                id=self._id,
                resume="allow" if self._id is not None else None,
                # the run folder has a log of its own, and easyseg says where the run is to be found
                settings=wandb.Settings(console="off", silent=True),
            )
        except (wandb.Error, OSError) as error:
            raise OutputError(
                f"Weights & Biases cannot be reached ({error}). Type `wandb login` first, or set WANDB_MODE=offline "
                "and upload the run later with `wandb sync`."
            ) from error
        self._id = str(self._run.id)
        # a resumed run repeats a few steps, and W&B drops what does not count up; so steps are a figure among others
        self._run.define_metric("*", step_metric="step")
        if self._run.offline:  # asked for the address, it would warn that there is none
            return f"wandb sync {Path(self._run.dir).parent}"
        return str(self._run.url or "")

    def metrics(self, figures: Mapping[str, float], *, step: int) -> None:
        """Add a point to each curve."""
        self._run.log({**figures, "step": step})

    def pictures(self, pictures: Sequence[LoggedPicture], *, step: int) -> None:
        """Add the images with their masks as overlays that can be switched on and off."""
        images = {f"validation/{picture.key}": self._image(picture) for picture in pictures}
        self._run.log({**images, "step": step})

    def end(self, summary: FitSummary) -> None:
        """Say how it ended, and wait until everything is on its way."""
        self._run.summary["stopped"] = summary.reason
        if summary.best_epoch is not None:
            self._run.summary["best_epoch"] = summary.best_epoch + 1
            self._run.summary["best_value"] = summary.best_value
        self._run.finish(exit_code=0 if summary.is_complete else 1)

    def state(self) -> dict[str, Any]:
        """Return the run's id."""
        return {"id": self._id}

    def restore(self, state: Mapping[str, Any], *, step: int) -> None:
        """Go on with the run of that id."""
        self._id = state["id"]

    def __repr__(self) -> str:
        return f"WandbLogger({'' if self._project is None else repr(self._project)})"

    def _image(self, picture: LoggedPicture) -> Any:
        names = picture.class_map.names
        if picture.class_map.task == "multiclass" and len(names) > MAX_MASK_ID:
            return self._wandb.Image(picture.comparison(), caption=picture.name)
        masks = {
            f"{kind}{part}": {"mask_data": mask, "class_labels": labels}
            for kind, whole in (("ground_truth", picture.truth), ("prediction", picture.prediction))
            for part, mask, labels in _labelled(whole, names)
        }
        return self._wandb.Image(as_rgb(picture.image), masks=masks, caption=picture.name)


def _labelled(mask: MaskArray, names: Sequence[str]) -> Iterator[tuple[str, MaskArray, dict[int, str]]]:
    """Yield a mask as W&B wants it: (H, W) ids with a name for each; overlapping classes one by one."""
    if mask.ndim == 3:
        for name, plane in zip(names, mask, strict=True):
            yield f"/{name}", *_without_gap(plane, ["background", name])
        return
    yield "", *_without_gap(mask, names if len(names) > 1 else ["background", *names])


def _without_gap(mask: MaskArray, names: Sequence[str]) -> tuple[MaskArray, dict[int, str]]:
    """Give pixels that do not count the id after the last class."""
    ids = np.where(mask == IGNORE_INDEX, len(names), mask).astype(np.uint8)
    return ids, dict(enumerate([*names, "ignored"]))
