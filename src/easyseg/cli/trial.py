"""`easyseg train --dry-run`: one batch learned by heart, which proves data, model, loss and evaluation in seconds."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from easyseg.cli.speaking import speaks
from easyseg.results import History

TRIAL_EPOCHS = 20
"""Steps on the one batch: enough for any sound pipeline to show that it learns."""

NEEDED_FALL = 0.9
"""The loss must come down to this share of where it began; an untrained network reaches it in a few steps."""


def trial_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of `fit` that make a trial of a training, in place of those that were given.

    Stages are tried one after the other, each for a share of the steps.
    """
    settings: dict[str, Any] = {
        "overfit_batches": 1,
        "run_dir": None,
        "resume": False,
        "loggers": (),
        "time_budget": None,
        "evaluate_every": 1,
    }
    stages = given.get("stages")
    if isinstance(stages, tuple):
        epochs = max(1, TRIAL_EPOCHS // len(stages))
        short = {"epochs": epochs, "step_size": None, "schedule": "constant", "patience": None, "batch_size": None}
        return {**settings, "stages": tuple(stage.model_copy(update=short) for stage in stages)}
    return {**settings, "epochs": TRIAL_EPOCHS, "evaluate_every": TRIAL_EPOCHS // 2}


def refuse_taken_folder(run_dir: str | Path | None) -> None:
    """Refuse what the training itself would: a folder that holds a finished run, or something else.

    Raises:
        OutputError: no run can be kept there.
    """
    if run_dir in (None, "auto"):
        return
    from easyseg.reports.run_folder import check_run_path, is_interrupted  # load OpenCV, which `--help` needs not

    if not is_interrupted(Path(str(run_dir))):
        check_run_path(Path(str(run_dir)))


def judge_trial(history: History) -> int:
    """Say whether the trial went as it should, and return the exit status."""
    first, last = float(history["loss"][0]), float(history["loss"][-1])
    figure = f"{history.monitor} {float(history[history.monitor][-1]):.3f}"
    passed = last <= NEEDED_FALL * first
    if not speaks():
        return 0 if passed else 1
    if passed:
        sys.stdout.write(
            f"The trial passed: on the images of one batch the loss fell from {first:.3f} to {last:.3f}, {figure}.\n"
        )
        return 0
    sys.stderr.write(
        f"The trial failed: on the images of one batch the loss went from {first:.3f} to {last:.3f}, {figure}. A model "
        "that does not learn one batch by heart learns nothing: look at the masks with 'easyseg train --help', try a "
        "larger --learning-rate, and see that a part that starts at random is not frozen.\n"
    )
    return 1
