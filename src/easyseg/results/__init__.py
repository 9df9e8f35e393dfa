"""What the verbs return: a prediction, an evaluation's report, a training's history."""

from easyseg.results.history import History
from easyseg.results.instance_report import InstanceReport
from easyseg.results.learning_rates import LearningRateCurve
from easyseg.results.report import ImageScores, Report
from easyseg.results.semantic import SemanticResult

__all__ = ["History", "ImageScores", "InstanceReport", "LearningRateCurve", "Report", "SemanticResult"]
