"""How good a segmentation is: of pixels, from one confusion matrix; of objects, as COCO measures them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from easyseg.metrics.instance import (
    Diagnosis,
    InstanceFigures,
    InstanceScorer,
    InstanceScores,
    MistakeFigures,
    PredictedObjects,
    TruthObjects,
)

if TYPE_CHECKING:
    from easyseg.metrics.semantic import CLASS_METRICS as CLASS_METRICS
    from easyseg.metrics.semantic import METRICS as METRICS
    from easyseg.metrics.semantic import ConfusionMatrix as ConfusionMatrix
    from easyseg.metrics.semantic import Direction as Direction
    from easyseg.metrics.semantic import SemanticScores as SemanticScores
    from easyseg.metrics.semantic import direction_of as direction_of
    from easyseg.metrics.semantic import scores as scores

_OF_PIXELS = frozenset(
    {"CLASS_METRICS", "METRICS", "ConfusionMatrix", "Direction", "SemanticScores", "direction_of", "scores"}
)

__all__ = [
    "CLASS_METRICS",
    "METRICS",
    "ConfusionMatrix",
    "Diagnosis",
    "Direction",
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


def __getattr__(name: str) -> Any:
    """Load what counts pixels when it is first used: it needs torch, and what counts objects does not."""
    if name not in _OF_PIXELS:
        raise AttributeError(f"module 'easyseg.metrics' has no attribute {name!r}")
    return getattr(importlib.import_module("easyseg.metrics.semantic"), name)
