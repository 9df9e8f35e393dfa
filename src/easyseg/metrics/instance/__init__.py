"""How good predicted objects are: COCO's average precision, and which mistakes cost how much of it."""

from easyseg.metrics.instance.diagnosis import Diagnosis, MistakeFigures
from easyseg.metrics.instance.image_counts import ImageCounts
from easyseg.metrics.instance.precision import InstanceFigures, InstanceScores, Kind
from easyseg.metrics.instance.records import PredictedObjects, TruthObjects
from easyseg.metrics.instance.scorer import InstanceScorer

__all__ = [
    "Diagnosis",
    "ImageCounts",
    "InstanceFigures",
    "InstanceScorer",
    "InstanceScores",
    "Kind",
    "MistakeFigures",
    "PredictedObjects",
    "TruthObjects",
]
