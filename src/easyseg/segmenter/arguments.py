"""What becomes of an argument that the verb it was given to does not know."""

from __future__ import annotations

from easyseg.config import DataSettings, FitSettings, ModelSettings, PredictSettings
from easyseg.errors import known_arguments

check_arguments = known_arguments(
    {
        **{name: f"segmenter.predict(..., {name}=...)" for name in PredictSettings.model_fields},
        **{name: f"segmenter.fit(..., {name}=...)" for name in FitSettings.model_fields},
        **{name: f"Segmenter(..., {name}=...)" for name in ModelSettings.model_fields},
        **{name: f"load_dataset(path, {name}=...) in place of the path" for name in DataSettings.model_fields},
    }
)
"""Decorates a verb: an argument it does not know is refused with the nearest name, or with the verb that takes it."""
