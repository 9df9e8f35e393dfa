"""What `config.yaml` of a run folder says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from easyseg.config import FitSettings, ModelSettings
from easyseg.data.dataset import Dataset


def run_config(
    dataset: Dataset, validation: Any, settings: FitSettings, model_settings: ModelSettings
) -> dict[str, Any]:
    """Return what `config.yaml` holds: every setting with the value it had, and how the dataset was read.

    Classes stand there only where the user named them: what the files themselves say about them is found again.
    """
    chosen = {**model_settings.to_dict(), **settings.to_dict(), **settings.objects()}
    for name in ("run_dir", "verbose", "resume"):
        del chosen[name]  # of this one run, not of the training
    for name in settings.left_to_stages():
        del chosen[name]
    if not settings.callbacks:
        del chosen["callbacks"]
    read_by = {name: value for name, value in dataset.settings.items() if name not in ModelSettings.model_fields}
    read_by.pop("split", None)  # a part of the dataset, which only Python can choose
    chosen["classes"] = model_settings.classes or dataset.settings.get("classes")
    if "encoding" in read_by.get("class_map", {}):  # a whole ClassMap, its names included
        chosen["classes"] = None
    return {**read_by, **_validation_path(dataset, validation), **chosen}


def _validation_path(dataset: Dataset, validation: Any) -> dict[str, str]:
    path = validation.path if isinstance(validation, Dataset) else validation
    is_part = isinstance(validation, Dataset) and path == dataset.path
    return {"validation": str(path)} if isinstance(path, (str, Path)) and not is_part else {}
