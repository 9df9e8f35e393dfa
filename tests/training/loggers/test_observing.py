"""Loggers are told what happens, and whatever becomes of them, training goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from easyseg import errors
from easyseg.errors import ConfigError, MissingExtraError, OutputError, UnknownNameError
from easyseg.training.callbacks import EpochReport, FitSummary, StepReport
from easyseg.training.loggers import (
    LoggedPicture,
    LoggedRun,
    Logger,
    MLflowLogger,
    RunDescription,
    TensorBoardLogger,
    WandbLogger,
    build_loggers,
    observing,
)

Play = Callable[..., list[str]]
EVERY_VERB = ["start", "metrics", "metrics", "pictures", "metrics", "metrics", "metrics", "pictures", "end"]


class Diary(Logger):
    """Writes down what it is told, and fails where it shall."""

    name: ClassVar[str] = "diary"

    def __init__(self, *, fails_at: str = "", waits_at: str = "") -> None:
        self.verbs: list[str] = []
        self.figures: list[tuple[int, Mapping[str, float]]] = []
        self.summary: FitSummary | None = None
        self.restored: tuple[Mapping[str, Any], int] | None = None
        self.fails_at = fails_at
        self.waits_at = waits_at
        self.may_go_on = threading.Event()
        self.threads: set[str] = set()

    def start(self, run: RunDescription) -> str:
        self._come_to("start")
        return "a drawer"

    def metrics(self, figures: Mapping[str, float], *, step: int) -> None:
        self._come_to("metrics")
        self.figures.append((step, figures))

    def pictures(self, pictures: Sequence[LoggedPicture], *, step: int) -> None:
        self._come_to("pictures")

    def end(self, summary: FitSummary) -> None:
        self._come_to("end")
        self.summary = summary

    def state(self) -> dict[str, Any]:
        return {"pages": len(self.verbs)}

    def restore(self, state: Mapping[str, Any], *, step: int) -> None:
        self.restored = (state, step)

    def _come_to(self, verb: str) -> None:
        self.verbs.append(verb)
        self.threads.add(threading.current_thread().name)
        if verb == self.fails_at:
            raise ConnectionError("no route\n  to host")
        if verb == self.waits_at:
            self.may_go_on.wait(20)


def logger_threads() -> list[threading.Thread]:
    """Return the loggers' threads that run."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("easyseg logger")]


def test_every_moment_reaches_every_logger_in_order(play: Play) -> None:
    """Each logger gets the same verbs in the order of the run, in a thread of its own, and none remains."""
    first, second = Diary(), Diary()
    assert play([first, second]) == ["Logging to diary: a drawer"] * 2
    assert first.verbs == second.verbs == EVERY_VERB
    assert "easyseg logger diary" in first.threads
    assert first.summary == FitSummary("all 2 epochs are done", 6.0, best_epoch=1, best_value=0.06)
    assert logger_threads() == []


def test_an_evaluation_has_all_its_figures(play: Play) -> None:
    """Epochs count from 1, the learning rate and the pace are there, and what is no number is not."""
    diary = Diary()
    play([diary])
    step, figures = diary.figures[1]
    assert step == 3
    assert figures == pytest.approx(
        {
            "epoch": 1,
            "seconds": 3.0,
            "learning_rate": 0.1 / 3,
            "loss": 1 / 3,
            "mean_iou": 0.03,
            "iou/road (wet)": 0.25,
            "images_per_second": 2.0,
            "data_share": 1 / 3,
        }
    )


@pytest.mark.parametrize("verb", ["metrics", "pictures", "end"])
def test_a_logger_that_fails_is_named_once_and_dropped(play: Play, verb: str) -> None:
    """A failure at any verb is told once in words; the other logger misses nothing."""
    broken, healthy = Diary(fails_at=verb), Diary()
    said = play([broken, healthy])
    complaints = [line for line in said if "failed" in line]
    assert complaints == ["The logger diary failed and is not used any more: ConnectionError: no route to host."]
    assert broken.verbs.count(verb) == 1
    assert healthy.verbs == EVERY_VERB
    assert logger_threads() == []


def test_a_logger_that_hangs_holds_nobody_up(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training waits for a logger at its end alone, and not for long; then the user is told."""
    monkeypatch.setattr(observing, "PATIENCE_SECONDS", 0.2)
    stuck, healthy = Diary(waits_at="metrics"), Diary()
    begun = time.perf_counter()
    said = play([stuck, healthy])
    assert time.perf_counter() - begun < 5
    assert [line for line in said if "failed" in line] == [
        "The logger diary failed and is not used any more: TimeoutError: it did not finish in time."
    ]
    assert healthy.verbs == EVERY_VERB
    stuck.may_go_on.set()


def test_a_logger_that_is_too_slow_is_dropped(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where messages pile up, the logger is dropped; its thread ends as soon as it comes back."""
    monkeypatch.setattr(observing, "QUEUE_LENGTH", 2)
    stuck = Diary(waits_at="metrics")
    said = play([stuck])
    assert ["TimeoutError: 2 messages wait" in line for line in said] == [False, True]
    stuck.may_go_on.set()
    for thread in logger_threads():
        thread.join(5)
    assert logger_threads() == []
    assert stuck.verbs in (["start"], ["start", "metrics"])  # its thread may have come too late for the first


def test_a_logger_that_cannot_start_ends_a_new_run(play: Play) -> None:
    """Before anything is trained, a service that is not there is an error."""
    with pytest.raises(OutputError, match="The logger diary cannot start: ConnectionError: no route to host"):
        play([Diary(fails_at="start")])


def test_a_logger_that_cannot_start_again_does_not_keep_a_run_from_going_on(play: Play) -> None:
    """A resumed run does without it: nobody may be there to start it once more."""
    states: dict[int, dict[str, Any]] = {}
    play([Diary()], last=3, states=states, ends=False)
    said = play([Diary(fails_at="start")], first=4, state=states[3])
    assert said == ["The logger diary failed and is not used any more: ConnectionError: no route to host."]


def test_state_goes_to_the_logger_it_is_from(play: Play) -> None:
    """After an interruption each logger gets its own state and the step; one that is new starts anew."""
    states: dict[int, dict[str, Any]] = {}
    play([TensorBoardStub(), Diary()], last=3, states=states, ends=False)
    again, fresh, other = Diary(), Diary(), TensorBoardStub()
    play([again, fresh, other], first=4, state=states[3])
    assert again.restored is not None
    assert again.restored[1] == 3
    assert again.restored[0].keys() == {"pages"}
    assert fresh.restored is None
    assert other.restored is not None
    assert other.restored[1] == 3


class TensorBoardStub(Diary):
    """A logger of another name."""

    name: ClassVar[str] = "stub"


def test_pictures_that_cannot_be_drawn_are_left_out(tmp_path: Path) -> None:
    """A failure in drawing pictures is told once; figures go on."""
    diary, said = Diary(), []

    def fail() -> list[LoggedPicture]:
        raise torch.OutOfMemoryError("no memory")

    run = LoggedRun([diary], RunDescription("one", tmp_path, {}), pictures=fail, say=said.append)
    for epoch in range(2):
        run.epoch_started(epoch)
        run.epoch_ended(evaluation(epoch))
    run.fit_ended(FitSummary("done", 1.0))
    assert [line for line in said if "pictures" in line] == [
        "The loggers get no more pictures: OutOfMemoryError: no memory. Training goes on."
    ]
    assert diary.verbs == ["start", "metrics", "metrics", "end"]


def test_the_loss_is_read_rarely() -> None:
    """Between two points of the curve, the loss of a batch is not looked at, so a GPU is not waited for."""
    diary = Diary()
    run = LoggedRun([diary], RunDescription("one", None, {}), pictures=list, say=lambda text: None)
    run.epoch_started(0)
    run.batch_ended(batch(1, torch.zeros(2)))  # would fail if it were read as a number
    run.fit_ended(FitSummary("done", 1.0))
    assert diary.figures == []


def test_without_loggers_nothing_happens() -> None:
    """An observer without loggers starts no thread, draws no picture and keeps no loss."""

    def fail() -> list[LoggedPicture]:
        raise AssertionError("nobody looks at it")

    run = LoggedRun([], RunDescription("one", None, {}), pictures=fail, say=lambda text: None)
    run.epoch_started(0)
    run.batch_ended(batch(1, torch.tensor(1.0)))
    run.epoch_ended(evaluation(0))
    assert run._losses == []
    assert run.state() == {"step": 1, "loggers": []}
    run.fit_ended(FitSummary("done", 1.0))


def batch(step: int, loss: torch.Tensor) -> StepReport:
    """Return the report of a batch."""
    return StepReport(
        epoch=0,
        step=step,
        batch=step,
        steps_per_epoch=9,
        loss=loss,
        learning_rate=0.1,
        images=2,
        seconds=1.0,
        progress=0.1,
    )


def evaluation(epoch: int) -> EpochReport:
    """Return the report of an evaluation."""
    return EpochReport(epoch=epoch, step=1, seconds=1.0, learning_rate=0.1, metrics={"loss": 1.0}, is_best=False)


def test_loggers_are_had_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and loggers may stand side by side; the packages are asked for at once."""
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(
        "easyseg.training.loggers.require_extra", lambda module, *, extra: asked.append((module, extra))
    )
    mine = Diary()
    built = build_loggers(["tensorboard", "wandb", "mlflow", mine])
    assert [type(one) for one in built] == [TensorBoardLogger, WandbLogger, MLflowLogger, Diary]
    assert built[3] is mine
    assert asked == [(name, name) for name in ("tensorboard", "wandb", "mlflow")]


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is not installed, the message says what to install."""

    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(errors.importlib, "import_module", absent)
    with pytest.raises(MissingExtraError, match=r"'wandb'.*pip install 'easyseg\[wandb\]'"):
        build_loggers(["wandb"])


def test_an_unknown_logger_gets_the_nearest_name() -> None:
    """A misspelt name is refused with the one that was probably meant."""
    with pytest.raises(UnknownNameError, match=r"No logger named 'tensorbord'\. Did you mean 'tensorboard'\?"):
        build_loggers(["tensorbord"])
    with pytest.raises(ConfigError, match=r"loggers: 3 is no logger.*loggers='tensorboard'"):
        build_loggers([3])


def test_a_logger_that_overrides_nothing_does_nothing(play: Play) -> None:
    """The base class can be used as it is."""
    assert play([Logger()]) == ["Logging to logger"]
    assert Logger().state() == {}
    assert repr(Logger()) == "Logger()"
    Logger().restore({}, step=0)
