"""class_weights="balanced", for the tasks whose classes stand for themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from easyseg import Segmenter
from easyseg.data.class_weights import balanced_class_weights
from easyseg.data.reading import as_dataset
from easyseg.results import History
from easyseg.segmenter.tasks import semantic

Fit = Callable[..., tuple[Segmenter, History]]
Draw = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_balanced_weights_of_classes_that_stand_for_themselves(
    fit: Fit, arrays: Draw, monkeypatch: pytest.MonkeyPatch, task: Any
) -> None:
    """Each is weighed against its own background; pixels that do not count are left out."""
    given: list[Any] = []
    build = semantic.build_loss

    def noted(loss: Any, **settings: Any) -> Any:
        given.append(settings["class_weights"])
        return build(loss, **settings)

    monkeypatch.setattr(semantic, "build_loss", noted)
    images, masks = arrays(task, count=4)
    fit((images, masks), arrays(task, count=2, seed=4), class_weights="balanced", epochs=1)
    assert given[0] == pytest.approx(background_to_class(masks))
    assert all(abs(weight - 1) > 0.1 for weight in given[0])
    masks[..., :9, :] = 255
    dataset = as_dataset((images, masks), ignore=[255], task=task)
    assert balanced_class_weights(dataset) == pytest.approx(background_to_class(masks))


def background_to_class(masks: np.ndarray) -> list[float]:
    """Return for each class the square root of background pixels per pixel of it."""
    planes = masks if masks.ndim == 4 else masks[:, None]
    return list(np.sqrt((planes == 0).sum((0, 2, 3)) / (planes == 1).sum((0, 2, 3))))
