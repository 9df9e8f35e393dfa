"""How good a segmentation is: of pixels, from one confusion matrix; of objects, as COCO measures them."""

from easyseg.metrics.instance import (
    Diagnosis,
    ImageCounts,
    InstanceFigures,
    InstanceScorer,
    InstanceScores,
    MistakeFigures,
    PredictedObjects,
    TruthObjects,
)
from easyseg.metrics.semantic import (
    CLASS_METRICS,
    METRICS,
    ConfusionMatrix,
    Direction,
    SemanticScores,
    direction_of,
    scores,
)

__all__ = [
    "CLASS_METRICS",
    "METRICS",
    "ConfusionMatrix",
    "Diagnosis",
    "Direction",
    "ImageCounts",
    "InstanceFigures",
    "InstanceScorer",
    "InstanceScores",
    "MistakeFigures",
    "PredictedObjects",
    "SemanticScores",
    "TruthObjects",
    "direction_of",
    "scores",
]
