"""Who watches a training besides its own records: loggers, and a hint where it waits for data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from easyseg.config import FitSettings, PredictSettings
from easyseg.config.plain import to_plain
from easyseg.data.batches.loaders import TrainingLoader
from easyseg.data.dataset import Dataset
from easyseg.devices import Compute, processor_count
from easyseg.segmenter.fitted import FittedModel
from easyseg.segmenter.predicting import predict_all
from easyseg.segmenter.preparing import Job
from easyseg.segmenter.tasks import AnyResult, work_of
from easyseg.structures import ImageArray
from easyseg.training.callbacks import Callback, EpochReport
from easyseg.training.loggers import LoggedPicture, LoggedRun, RunDescription, build_loggers
from easyseg.training.optim import MovingAverage

PICTURES = 4
"""How many validation images loggers are shown at each evaluation."""

NUM_WATCHERS = 2
"""How many observers `watchers` returns, with loggers and without."""

LARGEST_SIDE = 1024
"""Larger pictures are thinned out for the loggers, in pixels."""

SLOW_DATA_SHARE = 0.4
"""Where more of the time than this is spent waiting for data, something should be done."""


def watchers(
    job: Job,
    loader: TrainingLoader,
    average: MovingAverage | None,
    *,
    run_dir: Path | None,
    say: Callable[[str], None],
) -> list[Callback]:
    """Return the observers; as many without loggers, because a checkpoint counts them.

    Args:
        job: the training.
        loader: of its training images.
        average: the moving average that is measured in place of the weights, or None.
        run_dir: the run folder, None where there is none.
        say: tells the user something.
    """
    name = run_dir.name if run_dir is not None else "easyseg"
    run = RunDescription(name, run_dir, {key: to_plain(value) for key, value in job.config.items()})
    pictures = ValidationPictures(job.fitted, job.data.val, job.compute, average)
    return [
        LoggedRun(build_loggers(job.settings.loggers), run, pictures=pictures, say=say),
        SlowDataHint(job.settings, is_cached=loader.cached_bytes > 0, say=say),
    ]


class ValidationPictures:
    """Shows what the model makes of a few validation images, the same ones every time.

    Args:
        fitted: the model in training.
        dataset: the validation images.
        compute: device and number format.
        average: the moving average that is measured in place of the weights, or None.
    """

    def __init__(
        self, fitted: FittedModel, dataset: Dataset, compute: Compute, average: MovingAverage | None = None
    ) -> None:
        self._fitted = fitted
        self._dataset = dataset
        self._compute = compute
        self._average = average
        self._indices = np.unique(np.linspace(0, len(dataset) - 1, PICTURES).round().astype(int)).tolist()

    def __call__(self) -> list[LoggedPicture]:
        """Predict and return the pictures; the model's weights and mode stay as they are."""
        images = [self._dataset.image(index, self._fitted.preprocessing.in_channels) for index in self._indices]
        measured = self._average.applied(self._fitted.model) if self._average is not None else nullcontext()
        with measured:
            results = list(predict_all(self._fitted, images, PredictSettings(), compute=self._compute))
        return [
            self._picture(index, image, result)
            for index, image, result in zip(self._indices, images, results, strict=True)
        ]

    def _picture(self, index: int, image: ImageArray, result: AnyResult) -> LoggedPicture:
        truth, prediction, class_map = work_of(self._fitted.model).masks_to_show(self._dataset, index, result)
        every = -(-max(image.shape[:2]) // LARGEST_SIDE)
        return LoggedPicture(
            name=f"{index + 1:04d}_{self._dataset[index].name}",  # images of one name may lie in several folders
            image=image[::every, ::every],
            truth=truth[..., ::every, ::every],
            prediction=prediction[..., ::every, ::every],
            class_map=class_map,
        )


class SlowDataHint(Callback):
    """Says once what to do where the training waits for its data.

    Args:
        settings: of the training, without "auto".
        is_cached: the decoded images are kept in memory.
        say: tells the user something.
    """

    def __init__(self, settings: FitSettings, *, is_cached: bool, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._is_cached = is_cached
        self._say = say
        self._has_spoken = False

    def epoch_ended(self, report: EpochReport) -> None:
        """Look at the pace; not in the first epoch, which starts workers and fills the cache."""
        if self._has_spoken or report.epoch == 0 or report.pace.data_share <= SLOW_DATA_SHARE:
            return
        self._has_spoken = True
        workers = int(self._settings.workers)
        more = min(2 * workers or 2, processor_count())
        ways = [f"workers={more}"] if more > workers else []
        ways += [] if self._is_cached else ["cache='ram'"]
        ways += ["a simpler augment, such as augment='light'"] if self._settings.augment != "none" else []
        ways += ["a smaller image_size"]
        self._say(
            f"Training waits for its data for {report.pace.data_share:.0%} of the time. What may help: "
            f"{', or '.join(ways)}."
        )
