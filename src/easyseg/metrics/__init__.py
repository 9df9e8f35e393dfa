"""How good a segmentation is: one confusion matrix, and every figure that follows from it."""

from easyseg.metrics.semantic import (
    CLASS_METRICS,
    METRICS,
    ConfusionMatrix,
    Direction,
    SemanticScores,
    direction_of,
    scores,
)

__all__ = ["CLASS_METRICS", "METRICS", "ConfusionMatrix", "Direction", "SemanticScores", "direction_of", "scores"]
