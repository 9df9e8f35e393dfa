"""The end of a run folder: the pictures and the report of the best model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from easyseg.config import PredictSettings
from easyseg.data.dataset import Dataset
from easyseg.devices import Compute
from easyseg.reports.page import write_report
from easyseg.reports.run_folder import RunFolder
from easyseg.segmenter.fitted import FittedModel
from easyseg.segmenter.predicting import predict_all
from easyseg.segmenter.preparing import Job
from easyseg.segmenter.recording import Recording
from easyseg.segmenter.tasks import AnyReport, Measured, Occasion, work_of
from easyseg.structures import ImageArray

PICTURES = 6
"""How many images the report shows."""


def finish_run(
    folder: RunFolder,
    fitted: FittedModel,
    recording: Recording,
    job: Job,
    *,
    training: Measured | None = None,
) -> None:
    """Write curves, pictures and the report page; without a best epoch, the last weights as the best model, too.

    Args:
        folder: of the run.
        fitted: the best model.
        recording: what was found on the way.
        job: the training.
        training: what the best model scores on training images, where that tells something.
    """
    dataset, compute = job.data.val, job.compute
    history = recording.history
    history.plot(folder.path / "curves.png")
    best = recording.best_score()
    report = best.report(Occasion(dataset, "val", training=training)) if best is not None else None
    if history.best is None:
        recording.write_best(fitted)
    pictures = list(_pictures(fitted, _shown(report, len(dataset)), dataset, compute))
    files = _file_names([name for name, _ in pictures])
    for file, (_, picture) in zip(files, pictures, strict=True):
        folder.write_picture(f"samples/{file}", picture)
    write_report(
        folder.report,
        title=folder.path.name,
        settings=job.config,
        history=history,
        report=report,
        pictures=pictures,
        notes=[line for line in (dataset.class_map.note, *dataset.notes, *job.notes) if line],
    )


def _file_names(names: list[str]) -> list[str]:
    """Return a picture's file for each name; images of one name in several folders get a number."""
    files: list[str] = []
    for name in names:
        stem = file = Path(name).stem
        number = 2
        while f"{file}.png" in files:
            file, number = f"{stem}_{number}", number + 1
        files.append(f"{file}.png")
    return files


def _shown(report: AnyReport | None, count: int) -> list[int]:
    """Return the images to show: the worst ones, then the best one, for what the model can do at all."""
    if report is None:
        return list(range(min(PICTURES, count)))
    ranked = [image.index for image in report.worst(count)]
    return ranked if len(ranked) <= PICTURES else [*ranked[: PICTURES - 1], ranked[-1]]


def _pictures(
    fitted: FittedModel, indices: list[int], dataset: Dataset, compute: Compute
) -> Iterator[tuple[str, ImageArray]]:
    """Yield names and comparisons of image, truth, prediction and mistakes."""
    work = work_of(fitted.model)
    images = [dataset.image(index, fitted.preprocessing.in_channels) for index in indices]
    results = predict_all(fitted, images, PredictSettings(), compute=compute)
    for index, image, result in zip(indices, images, results, strict=True):
        yield dataset[index].name, work.comparison(dataset, index, image, result)
