"""What a training, an evaluation and a prediction do differently for pixels and for objects."""

from easyseg.config import ModelSettings
from easyseg.models.instance.model import InstanceModel
from easyseg.segmenter.building import Model, finds_masks, finds_objects
from easyseg.segmenter.tasks.instance import InstanceWork
from easyseg.segmenter.tasks.semantic import SemanticWork
from easyseg.segmenter.tasks.work import (
    AnyReport,
    AnyResult,
    Evaluating,
    LoaderRequest,
    Measured,
    MeasuringRequest,
    Occasion,
    TrialShape,
    Work,
)

__all__ = [
    "AnyReport",
    "AnyResult",
    "Evaluating",
    "LoaderRequest",
    "Measured",
    "MeasuringRequest",
    "Occasion",
    "TrialShape",
    "Work",
    "work_of",
]


def work_of(of: Model | ModelSettings) -> Work:
    """Return what a model, or one of these settings, does: give each pixel a class, or find objects."""
    if isinstance(of, ModelSettings):
        return InstanceWork(finds_masks(of)) if finds_objects(of) else SemanticWork()
    return InstanceWork(of.has_masks) if isinstance(of, InstanceModel) else SemanticWork()
