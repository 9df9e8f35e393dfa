"""Every setting, declared once: type, range, default and help."""

from easyseg.config.base import Settings
from easyseg.config.check import CheckSettings
from easyseg.config.download import DownloadSettings
from easyseg.config.kinds import Auto, Count, Fraction, Positive, Schedule
from easyseg.config.rate_finder import RateFinderSettings
from easyseg.config.settings import (
    DataSettings,
    EvaluateSettings,
    FitSettings,
    ModelSettings,
    PredictSettings,
    evaluation_interval,
)
from easyseg.config.stages import FINE_TUNE, Stage
from easyseg.config.yaml_files import MAX_CONFIG_BYTES, read_yaml, write_yaml

__all__ = [
    "FINE_TUNE",
    "MAX_CONFIG_BYTES",
    "Auto",
    "CheckSettings",
    "Count",
    "DataSettings",
    "DownloadSettings",
    "EvaluateSettings",
    "FitSettings",
    "Fraction",
    "ModelSettings",
    "Positive",
    "PredictSettings",
    "RateFinderSettings",
    "Schedule",
    "Settings",
    "Stage",
    "evaluation_interval",
    "read_yaml",
    "write_yaml",
]
