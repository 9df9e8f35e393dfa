"""Train, check and use image segmentation models in a few lines."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from easyseg import errors as errors
    from easyseg import geometry as geometry
    from easyseg import metrics as metrics
    from easyseg.config import Stage as Stage
    from easyseg.data.dataset import Dataset as Dataset
    from easyseg.data.reading import load_dataset as load_dataset
    from easyseg.models.registry import list_encoders as list_encoders
    from easyseg.models.registry import list_models as list_models
    from easyseg.results import Checkup as Checkup
    from easyseg.results import Finding as Finding
    from easyseg.results import History as History
    from easyseg.results import InstanceReport as InstanceReport
    from easyseg.results import InstanceResult as InstanceResult
    from easyseg.results import LearningRateCurve as LearningRateCurve
    from easyseg.results import Report as Report
    from easyseg.results import SemanticResult as SemanticResult
    from easyseg.segmenter import Segmenter as Segmenter
    from easyseg.structures import ClassMap as ClassMap
    from easyseg.structures import Sample as Sample
    from easyseg.training import callbacks as callbacks
    from easyseg.training import loggers as loggers
    from easyseg.training import losses as losses

__version__ = "0.1.0"

_HOME = {
    "Segmenter": "easyseg.segmenter",
    "Stage": "easyseg.config",
    "Dataset": "easyseg.data.dataset",
    "load_dataset": "easyseg.data.reading",
    "list_models": "easyseg.models.registry",
    "list_encoders": "easyseg.models.registry",
    "Sample": "easyseg.structures",
    "ClassMap": "easyseg.structures",
    "InstanceReport": "easyseg.results",
    "InstanceResult": "easyseg.results",
    "SemanticResult": "easyseg.results",
    "LearningRateCurve": "easyseg.results",
    "Report": "easyseg.results",
    "Checkup": "easyseg.results",
    "Finding": "easyseg.results",
    "History": "easyseg.results",
    "callbacks": "easyseg.training.callbacks",
    "loggers": "easyseg.training.loggers",
    "losses": "easyseg.training.losses",
    "geometry": "easyseg.geometry",
    "metrics": "easyseg.metrics",
    "errors": "easyseg.errors",
}

__all__ = [
    "Checkup",
    "ClassMap",
    "Dataset",
    "Finding",
    "History",
    "InstanceReport",
    "InstanceResult",
    "LearningRateCurve",
    "Report",
    "Sample",
    "Segmenter",
    "SemanticResult",
    "Stage",
    "__version__",
    "callbacks",
    "errors",
    "geometry",
    "list_encoders",
    "list_models",
    "load_dataset",
    "loggers",
    "losses",
    "metrics",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that `import easyseg` stays fast."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'easyseg' has no attribute {name!r}")
    module = importlib.import_module(home)
    value = module if home.endswith(f".{name}") else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
