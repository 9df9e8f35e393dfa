"""What goes from one stage of a training to the next, in one session and over two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from easyseg import Stage
from easyseg.segmenter.recording import Recording
from easyseg.training.finiteness import FinitenessGuard
from easyseg.training.progress import Position

PATIENCE = {"a": 10, "b": 2, "c": 3}


def rehearse(monkeypatch: pytest.MonkeyPatch, scores: Sequence[float]) -> None:
    """Let the evaluations that follow find these scores."""
    measure, left = Recording.measure, iter(scores)
    monkeypatch.setattr(Recording, "measure", lambda self: {**measure(self), "mean_iou": next(left)})


@pytest.mark.parametrize("at", [2, 7, 13, 14, 21])
def test_patience_of_every_stage_goes_on(session: Any, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """A stage that lost its patience gives the next one all of its own, also where a session ended between the two."""
    stages = [Stage(name, epochs=1 if name == "a" else 6, patience=patience) for name, patience in PATIENCE.items()]
    scores = [0.5, 0.4, 0.3, 0.2, 0.1, 0.05]
    with monkeypatch.context() as patched:
        rehearse(patched, scores)
        whole = session(folder="whole", stages=stages).history
    assert whole["stage"] == ["a", "b", "b", "c", "c", "c"]
    with monkeypatch.context() as patched:
        rehearse(patched, scores)
        session(at=at, stages=stages)
    with monkeypatch.context() as patched:
        rehearse(patched, scores[(at - 1) // 4 :])
        history = session(stages=stages).history
    for name in ("stage", "step", "loss"):
        assert history[name] == whole[name], name


def test_open_step_of_a_stage_that_lost_patience_is_dropped(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its images are no part of the next stage's first step."""
    steps: list[int] = []
    admits = FinitenessGuard.admits

    def noted(guard: FinitenessGuard, finite: Tensor, position: Position, images: Sequence[int]) -> bool:
        steps.append(len(images))
        return admits(guard, finite, position, images)

    monkeypatch.setattr(FinitenessGuard, "admits", noted)
    rehearse(monkeypatch, [0.5, 0.4, 0.6, 0.6, 0.6])
    stages = [Stage("a", epochs=3, patience=1), Stage("b", epochs=1)]
    history = session(stages=stages, evaluate_every="3 steps", accumulate=4).history
    assert history["step"][:2] == [3, 6]
    assert steps == [8, 8], "the batches 5 and 6 of the first stage move nothing"


def test_moving_average_goes_back_with_the_weights(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`restore_best` leaves nothing of the weights that were worse."""
    found: list[bool] = []
    take_up_best = Recording.take_up_best

    def compared(recording: Recording) -> None:
        def same() -> bool:
            best, average = recording._best_weights, recording._average
            return average is not None and all(map(torch.equal, best.values(), average.state_dict().values()))

        found.append(same())
        take_up_best(recording)
        found.append(same())

    monkeypatch.setattr(Recording, "take_up_best", compared)
    rehearse(monkeypatch, [0.5, 0.4, 0.3])
    session(stages=[Stage("a", epochs=2, restore_best=True), Stage("b", epochs=1)], ema=0.8)
    assert found == [False, True]
