"""What a training says about itself, and whether what it says to type works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from easyseg import Segmenter, Stage
from easyseg.cli import main
from easyseg.config import read_yaml
from easyseg.errors import OutputError


def log(run_dir: Path) -> str:
    """Return what a run said."""
    return (run_dir / "log.txt").read_text(encoding="utf-8")


def test_second_fit_says_what_it_begins_with(session: Any, shapes: Path, tmp_path: Path) -> None:
    """Not with random weights, as the first did; and config.yaml, which knows no model, says so, too."""
    segmenter = session(epochs=1)
    again = tmp_path / "again"
    segmenter.fit(shapes, epochs=1, batch_size=2, run_dir=again, verbose=False)
    assert "going on from its present weights" in log(again)
    assert "going on from its present weights" not in log(tmp_path / "run")
    heading = "# It began with a model that was trained before; name its file as weights to do the same.\n"
    assert heading in (again / "config.yaml").read_text()
    assert heading not in (tmp_path / "run/config.yaml").read_text()


def test_what_is_frozen_is_shown_without_stages(session: Any, tmp_path: Path) -> None:
    """As for a stage; a training in which everything learns needs no table."""
    session(epochs=1, freeze="encoder[0]")
    assert "What learns, and what is frozen: epoch 1, batches of 2" in log(tmp_path / "run")
    session(folder="plain", epochs=1)
    assert "What learns" not in log(tmp_path / "plain")


def test_trial_on_a_few_batches_says_that_it_is_one(session: Any, tmp_path: Path) -> None:
    """Its figures are of the images that it learnt by heart."""
    session(epochs=1, overfit_batches=1)
    assert "Only a trial (overfit_batches): it learns 2 training images by heart" in log(tmp_path / "run")


def test_finished_run_says_how_to_train_its_model_further(session: Any, shapes: Path, tmp_path: Path) -> None:
    """The weights that it names can be typed as they stand, and the next training begins with them."""
    first = session(epochs=1)
    with pytest.raises(OutputError, match="at its end and never overwritten") as refusal:
        session(epochs=1)
    found = re.search(r"weights=('[^']+')", str(refusal.value))
    assert found is not None
    weights = found[1].strip("'")
    assert Path(weights) == tmp_path / "run/best.safetensors"
    segmenter = Segmenter("pspnet", "test_resnet", weights=weights, image_size=32, precision="fp32")
    history = segmenter.fit(
        shapes, epochs=1, batch_size=2, run_dir=tmp_path / "again", verbose=False, learning_rate=1e-9, augment="none"
    )
    # steps this small change nothing but statistics: a new network would score otherwise
    assert abs(history["mean_iou"][0] - first.history["mean_iou"][0]) < 0.05
    assert "best.safetensors" in log(tmp_path / "again")


def test_config_of_a_staged_run_can_be_run_again(session: Any, tmp_path: Path) -> None:
    """Settings that stages leave without effect do not stand in it; the history is the same."""
    stages = [Stage("a", epochs=1, learning_rate=0.01), Stage("b", epochs=1, learning_rate=0.001)]
    session(stages=stages, learning_rate="auto")
    config = tmp_path / "run/config.yaml"
    assert not {"epochs", "learning_rate"} & read_yaml(config).keys()
    assert main(["train", str(config), "--run-dir", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again/best.safetensors").read_bytes() == (tmp_path / "run/best.safetensors").read_bytes()
