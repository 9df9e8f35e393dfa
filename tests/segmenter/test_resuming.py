"""An interrupted training goes on exactly, with the right run, or says why not; a finished one is never touched."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from easyseg import Segmenter, Stage
from easyseg.errors import CheckpointError, ConfigError, OutputError, RunLockedError
from easyseg.io import snapshots
from easyseg.io.images import read_image, write_image
from easyseg.reports.run_folder import RunFolder
from easyseg.segmenter import fitting, resuming
from easyseg.segmenter.recording import Recording
from easyseg.training.callbacks import Callback, StepReport

Hash = Callable[[Path], str]
Result = dict[str, Any]

EVERYTHING = {"accumulate": 2, "ema": 0.8, "augment": "strong", "schedule": "cosine"}
"""All that has a state of its own or draws random numbers, besides dropout, which every network here has."""

STAGES = [
    Stage("heads", train="heads", epochs=2, learning_rate=0.01, patience=1, restore_best=True),
    Stage("all", epochs=2, batch_size=3, layer_decay=0.7),
]


class PowerFailureError(Exception):
    """Nothing catches it, and nothing is saved because of it."""


class Interrupter(Callback):
    """Breaks a training off after a batch; a session that is not to be broken off has one, too."""

    def __init__(self, at: int | None, what: Callable[[], None]) -> None:
        self.at, self.what = at, what

    def batch_ended(self, report: StepReport) -> None:
        if report.step == self.at:
            self.what()


def fail() -> None:
    """Break off on the spot."""
    raise PowerFailureError


def ctrl_c() -> None:
    """Ask for an end as a person does."""
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no curves and no report."""
    monkeypatch.setattr(fitting, "finish_run", lambda *arguments, **settings: None)


@pytest.fixture
def train(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return a function that trains, saving at every batch, and returns all that must not depend on interruptions."""
    last: list[str] = []
    best_model = Recording.best_model

    def noted(recording: Recording) -> Any:
        last.append(digest(recording._fitted.model.state_dict()))
        return best_model(recording)

    monkeypatch.setattr(Recording, "best_model", noted)

    def run(
        folder: str | Path = "run",
        *,
        at: int | None = None,
        what: Callable[[], None] = fail,
        data: Any = shapes,
        model: str = "pspnet",
        image_size: int = 32,
        segmenter: Segmenter | None = None,
        **settings: Any,
    ) -> Result:
        last.clear()
        run_dir = folder if folder == "auto" else tmp_path / folder
        callbacks = [Interrupter(at, what), *settings.pop("callbacks", [])]
        segmenter = segmenter or new_segmenter(model, image_size)
        usual = {"batch_size": 2, "epochs": 3, "learning_rate": 0.003, "patience": None, "augment": "none"}
        usual |= {"checkpoint_every_seconds": 1e-6, "verbose": False, "run_dir": run_dir}
        segmenter.fit(data, callbacks=callbacks, **{**usual, **settings})
        path = newest(Path("runs")) if folder == "auto" else tmp_path / folder
        return {"last": last[0], "handed over": digest(segmenter.network.state_dict()), **result(path)}

    return run


@pytest.fixture
def interrupt(train: Callable[..., Result]) -> Callable[..., None]:
    """Return a function that trains until something breaks it off."""

    def run(*arguments: Any, at: int, expected: type[BaseException] = PowerFailureError, **settings: Any) -> None:
        with pytest.raises(expected):
            train(*arguments, at=at, **settings)

    return run


def new_segmenter(model: str = "pspnet", image_size: int = 32) -> Segmenter:
    """Return the same untrained model every time."""
    return Segmenter(model, "test_resnet", weights=None, image_size=image_size, precision="bf16", seed=3)


def digest(weights: Mapping[str, Tensor]) -> str:
    """Return the sha256 of weights and statistics."""
    found = hashlib.sha256()
    for name, value in weights.items():
        found.update(name.encode() + value.contiguous().numpy().tobytes())
    return found.hexdigest()


def result(run_dir: Path) -> Result:
    """Return the sha256 of the best model's file, and the history without its seconds."""
    with (run_dir / "history.csv").open(newline="") as file:
        rows = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    return {"best": hashlib.sha256((run_dir / "best.safetensors").read_bytes()).hexdigest(), "rows": rows}


def newest(folder: Path) -> Path:
    """Return the folder that was written to last."""
    return max(folder.iterdir(), key=lambda path: (path / "log.txt").stat().st_mtime_ns)


def saved(run_dir: Path) -> list[int]:
    """Return the steps of the checkpoints there are."""
    return sorted(int(path.name[:9]) for path in (run_dir / "checkpoints").iterdir() if path.name[0].isdigit())


def log(run_dir: Path) -> str:
    """Return what a run said."""
    return (run_dir / "log.txt").read_text(encoding="utf-8")


SPREAD = (2, 7, 12)


@pytest.mark.parametrize(
    ("workers", "steps"),
    [
        (0, range(1, 13)),
        (1, SPREAD),
        (2, SPREAD),
        pytest.param(1, range(1, 13), marks=pytest.mark.slow),
        pytest.param(2, range(1, 13), marks=pytest.mark.slow),
    ],
)
def test_run_goes_on_from_every_batch(
    train: Any, interrupt: Any, tmp_path: Path, workers: int, steps: tuple[int, ...]
) -> None:
    """Whatever the number of workers, before and after: weights, best model and history are those of one session."""
    expected = train("whole", **EVERYTHING)
    assert len(expected["rows"]) == 3
    for step in steps:
        interrupt(f"run_{step}", at=step, workers=workers, **EVERYTHING)
        assert train(f"run_{step}", workers=workers, **EVERYTHING) == expected, step
        words = f"Going on in epoch {(step - 2) // 4 + 1}, after {step - 1} batches."
        assert (words in log(tmp_path / f"run_{step}")) == (step > 1)
        shutil.rmtree(tmp_path / f"run_{step}")


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_run_goes_on_in_every_stage(train: Any, interrupt: Any, every: int) -> None:
    """Also at the border between two, where weights are taken up again, and batches grow."""
    expected = train("whole", stages=STAGES, **EVERYTHING)
    assert [row["stage"] for row in expected["rows"]] == ["heads", "heads", "all", "all"]
    assert [row["step"] for row in expected["rows"]] == ["4", "8", "11", "14"]
    for step in range(3, 15, every):  # 9 goes on from the border
        interrupt(f"run_{step}", at=step, stages=STAGES, **EVERYTHING)
        assert train(f"run_{step}", stages=STAGES, **EVERYTHING) == expected, step


def test_ends_of_epochs_and_stages_are_saved(interrupt: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a save costs next to nothing; the time between two is for longer epochs."""
    monkeypatch.setattr(resuming, "_COST_SHARE", float("inf"))
    interrupt(at=10, stages=STAGES, checkpoint_every_seconds=1000)
    assert saved(tmp_path / "run") == [4, 8]


def test_run_goes_on_as_often_as_it_must(train: Any, interrupt: Any, tmp_path: Path) -> None:
    """Every session does one batch more."""
    expected = train("whole", **EVERYTHING)
    for step in range(1, 13):
        interrupt(at=step, **EVERYTHING)
    assert train(**EVERYTHING) == expected
    assert log(tmp_path / "run").count("Going on in epoch") == 11


def test_patience_and_best_score_go_on(train: Any, interrupt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that stops early stops at the same evaluation."""
    scores = iter([0.5, 0.6, 0.4, 0.3, 0.2, 0.1] * 2)
    measure = Recording.measure
    monkeypatch.setattr(Recording, "measure", lambda self: {**measure(self), "mean_iou": next(scores)})
    expected = train("whole", epochs=6, patience=2)
    assert len(expected["rows"]) == 4
    scores = iter([0.5, 0.6, 0.4])
    interrupt(at=14, epochs=6, patience=2)
    scores = iter([0.3, 0.2])
    assert train(epochs=6, patience=2) == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("evaluation", [1, 2, 3])
def test_evaluation_that_a_signal_broke_off_is_made_up_for(
    train: Any, interrupt: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, evaluation: int
) -> None:
    """The run is saved at the batch before it, and the next session begins with it; its row is the same."""
    expected = train("whole", **EVERYTHING)
    measure, count = Recording.measure, iter(range(1, 9))

    def struck(recording: Recording) -> dict[str, float]:
        if next(count) == evaluation:
            os.kill(os.getpid(), number)
        return measure(recording)

    with monkeypatch.context() as patched:
        patched.setattr(Recording, "measure", struck)
        error = SystemExit if number == signal.SIGTERM else KeyboardInterrupt
        interrupt(at=0, expected=error, **EVERYTHING)
    assert saved(tmp_path / "run")[-1] == 4 * evaluation
    assert log(tmp_path / "run").count("  val_loss ") == evaluation - 1, "it is not waited for"
    assert "it was interrupted; run the same command again to go on" in log(tmp_path / "run")
    assert train(**EVERYTHING) == expected


def test_sigterm_ends_with_its_own_status(interrupt: Any, tmp_path: Path) -> None:
    """143, as the shell has it, when the batch is done and saved."""
    with pytest.raises(SystemExit) as end:
        interrupt(
            at=5, what=lambda: os.kill(os.getpid(), signal.SIGTERM), checkpoint_every_seconds=300, expected=OSError
        )
    assert end.value.code == 143
    assert saved(tmp_path / "run") == [4, 5]


def test_second_signal_is_not_waited_for(train: Any, interrupt: Any, tmp_path: Path) -> None:
    """Ctrl-C twice ends the training in the middle of a batch; the earlier checkpoint is as good as ever."""
    expected = train("whole", **EVERYTHING)

    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    interrupt(at=6, what=twice, expected=KeyboardInterrupt, **EVERYTHING)
    assert saved(tmp_path / "run") == [4, 5]
    assert train(**EVERYTHING) == expected


@pytest.mark.parametrize("was_trained", [False, True], ids=["new", "trained before"])
@pytest.mark.parametrize("folder", ["run", "auto"])
def test_same_segmenter_goes_on(
    train: Any, interrupt: Any, shapes: Path, was_trained: bool, folder: str, tmp_path: Path, monkeypatch: Any
) -> None:
    """A cell of a notebook, stopped and run again, goes on, though its segmenter has the best model so far by now."""
    monkeypatch.chdir(tmp_path)

    def begun() -> Segmenter:
        segmenter = new_segmenter()
        if was_trained:
            segmenter.fit(shapes, epochs=1, batch_size=2, augment="none", run_dir=None, verbose=False)
        return segmenter

    expected = train("whole", segmenter=begun())
    segmenter = begun()
    interrupt(folder, at=9, what=ctrl_c, expected=KeyboardInterrupt, segmenter=segmenter)
    assert len(segmenter.history) == 2
    assert train(folder, segmenter=segmenter) == expected
    # and once finished, it is a model like any other
    after = train("after", segmenter=segmenter, epochs=1)
    assert after["last"] != train("first", epochs=1)["last"]


def test_run_of_another_starting_model_is_refused(train: Any, interrupt: Any, shapes: Path) -> None:
    """What a training began with belongs to it; and resume=False never takes one up."""
    segmenter = new_segmenter()
    interrupt(at=5, segmenter=segmenter)
    segmenter.fit(shapes, epochs=1, batch_size=2, run_dir=None, verbose=False)
    with pytest.raises(ConfigError, match=r"began with a new model, and this one begins with a trained model"):
        train(segmenter=segmenter)


def test_callback_that_cannot_be_saved_is_refused_at_once(train: Any, tmp_path: Path) -> None:
    """Not after an hour, at the first checkpoint."""

    class Odd(Callback):
        def state(self) -> dict[str, Any]:
            return {"scores": np.zeros(3)}

    words = r"The callback Odd cannot be saved.*Odd\.state\(\)\['scores'\] is a ndarray.*x\.tolist\(\)"
    with pytest.raises(ConfigError, match=words):
        train(callbacks=[Odd()])
    assert not saved(tmp_path / "run")


def test_callback_that_cannot_be_saved_later_ends_nothing(train: Any, tmp_path: Path) -> None:
    """The training is worth more than its checkpoints."""

    class Odd(Callback):
        found: Any = 0

        def state(self) -> dict[str, Any]:
            return {"found": self.found}

        def batch_ended(self, report: StepReport) -> None:
            self.found = np.float32(1)

    train(callbacks=[Odd()], epochs=1)
    assert "could not be written, and training goes on: The callback Odd" in log(tmp_path / "run")


def test_disk_that_is_too_full_is_told_before_training(
    train: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There must be room for two checkpoints: weights, the best ones, gradients, and Adam's two moments."""

    def full(folder: Path, num_bytes: int) -> None:
        raise OutputError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(resuming, "check_space", full)
        with pytest.raises(OutputError, match="the disk is full"):
            train()
    asked: list[int] = []
    sizes: list[int] = []

    class Weigher(Callback):
        def batch_ended(self, report: StepReport) -> None:
            files = [path for path in (tmp_path / "kept/checkpoints").glob("0*/*") if path.name != "state.json"]
            sizes.append(sum(path.stat().st_size for path in files))

    monkeypatch.setattr(resuming, "check_space", lambda folder, num_bytes: asked.append(num_bytes))
    train("kept", epochs=2, callbacks=[Weigher()], **EVERYTHING)
    assert 0.9 * asked[0] <= max(sizes) <= 1.05 * asked[0]


def test_signals_are_left_as_they_were(train: Any, interrupt: Any) -> None:
    """Whoever calls `fit` keeps their own handlers."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    interrupt(at=2)
    train()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_training_in_a_thread_goes_on(train: Any, tmp_path: Path) -> None:
    """No signals reach it there; everything else is the same."""
    expected = train("whole", **EVERYTHING)
    found: list[Any] = []

    def session(at: int | None) -> None:
        try:
            found.append(train(at=at, **EVERYTHING))
        except PowerFailureError as error:
            found.append(error)

    for at in (7, None):
        thread = threading.Thread(target=session, args=(at,))
        thread.start()
        thread.join()
    assert isinstance(found[0], PowerFailureError)
    assert found[1] == expected


def test_finished_run_is_never_touched(
    train: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tree_hash: Hash
) -> None:
    """The same command again is refused where the folder has a name, and gets a new one where it has none."""
    monkeypatch.chdir(tmp_path)
    train()
    before = tree_hash(tmp_path / "run")
    with pytest.raises(
        OutputError, match=r"run holds an earlier run, which is never overwritten\. Type another run_dir"
    ):
        train()
    assert tree_hash(tmp_path / "run") == before
    train("auto")
    (first,) = Path("runs").iterdir()
    before = tree_hash(first)
    train("auto")
    assert len(list(Path("runs").iterdir())) == 2
    assert tree_hash(first) == before


def test_finished_run_is_no_interrupted_one_while_its_checkpoints_go(
    train: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill in the middle of deleting them leaves a finished run."""

    class Killed(BaseException):
        pass

    rmtree = shutil.rmtree

    def killed(path: Path, **settings: Any) -> None:
        if "checkpoints" in path.name:  # not an older one that a save makes away with
            raise Killed
        rmtree(path, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(resuming.shutil, "rmtree", killed)
        with pytest.raises(Killed):
            train()
    with pytest.raises(OutputError, match="earlier run"):
        train()


def test_run_that_ended_meanwhile_is_never_touched(
    train: Any, interrupt: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may bring it to its end while this one still builds its model."""
    interrupt(at=9)
    new_job = fitting.new_job
    contents: list[dict[Path, bytes]] = []

    def read() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.name != ".lock"}

    def slow(*arguments: Any, **settings: Any) -> Any:
        monkeypatch.setattr(fitting, "new_job", new_job)
        train()
        contents.append(read())
        return new_job(*arguments, **settings)

    monkeypatch.setattr(fitting, "new_job", slow)
    with pytest.raises(OutputError, match="earlier run"):
        train()
    assert contents == [read()]


def test_newest_interrupted_run_of_the_same_training_goes_on(
    train: Any, interrupt: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a name; it says so, and runs of other settings or data stay as they are."""
    monkeypatch.chdir(tmp_path)
    paths = []
    for number, (settings, folder) in enumerate([({}, "a"), ({}, "b"), ({"learning_rate": 0.1}, "c")]):
        interrupt(Path("runs", folder), at=4 + number, **settings)
        paths.append(tmp_path / "runs" / folder)
        os.utime(paths[-1] / "checkpoints", (1000 + number, 1000 + number))
    train("auto")
    assert len(list(Path("runs").iterdir())) == 3
    assert [(path / "checkpoints").is_dir() for path in paths] == [True, False, True]
    words = "Going on with the interrupted run runs/b (resume=False begins a new one).\nGoing on in epoch 1, after 4 b"
    assert words in log(paths[1])


def test_named_run_says_that_it_goes_on(train: Any, interrupt: Any, tmp_path: Path) -> None:
    """On the screen and in its log."""
    interrupt(at=4)
    train()
    assert f"Going on with the interrupted run {tmp_path / 'run'} (resume=False begins a new one)." in log(
        tmp_path / "run"
    )


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"learning_rate": 0.004, "encoder_learning_rate": 0.003}, ["learning_rate was 0.003 and is 0.004 now"]),
        ({"ema": 0.5, "augment": "light"}, ["ema was False and is 0.5", "augment was 'none' and is 'light'"]),
        ({"model": "linknet"}, ["model was 'pspnet' and is 'linknet' now"]),
        ({"image_size": 64}, ["image_size was [32, 32] and is [64, 64] now"]),
        ({"stages": STAGES}, ["stages was None and is [{", "'heads'"]),
        ({"class_weights": [1, 2, 3, 4]}, ["class_weights was None and is [1.0, 2.0, 3.0, 4.0] now"]),
    ],
)
def test_other_settings_are_refused(
    train: Any, interrupt: Any, tmp_path: Path, tree_hash: Hash, other: dict[str, Any], words: list[str]
) -> None:
    """With the list of differences; the interrupted run stays as it is and can still go on."""
    interrupt(at=5)
    before = tree_hash(tmp_path / "run" / "checkpoints")
    with pytest.raises(ConfigError) as refusal:
        train(**other)
    message = str(refusal.value)
    assert all(word in message for word in words), message
    assert f"{tmp_path / 'run'} holds an interrupted run of another training:\n  - " in message
    assert message.count("\n  - ") == len(other) - ("encoder_learning_rate" in other)
    assert tree_hash(tmp_path / "run" / "checkpoints") == before


def test_other_data_are_refused(train: Any, interrupt: Any, shapes: Path, tmp_path: Path) -> None:
    """An image that is gone, or changed; a copy elsewhere is the same dataset."""
    interrupt(at=5)
    copy = Path(shutil.copytree(shapes, tmp_path / "shapes"))
    image = next(path for path in sorted((copy / "train").rglob("*.png")) if "mask" not in str(path.parent))
    content = image.read_bytes()
    write_image(image, np.zeros_like(read_image(image)))
    with pytest.raises(ConfigError, match=r"the training data was 8 images with 4 classes \(files .*is 8 images"):
        train(data=copy)
    image.write_bytes(content)
    train(data=copy)


@pytest.mark.parametrize("setting", [{"workers": 1}, {"cache": "none"}, {"checkpoint_every_seconds": 77.0}])
def test_settings_that_change_no_weight_may_change(train: Any, interrupt: Any, setting: dict[str, Any]) -> None:
    """The result is the same."""
    expected = train("whole", **EVERYTHING)
    interrupt(at=6, **EVERYTHING)
    assert train(**EVERYTHING, **setting) == expected


def test_other_thread_count_goes_on_with_a_word(train: Any, interrupt: Any, tmp_path: Path) -> None:
    """Sums in another order may end in other digits."""
    interrupt(at=6)
    torch.set_num_threads(2)
    try:
        train()
    finally:
        torch.set_num_threads(1)
    words = "The result may differ in its last digits: threads 1 then, 2 now."
    assert words in log(tmp_path / "run")
    assert "Going on in epoch 2, after 5 batches." in log(tmp_path / "run")


def test_second_process_is_refused_with_the_id_of_the_first(train: Any, interrupt: Any, tmp_path: Path) -> None:
    """Of the interrupted run nothing changes; when the first has ended, it goes on."""
    interrupt(at=5)
    lines = ["import sys", "from easyseg.io.locks import run_lock", "with run_lock(sys.argv[1]):"]
    hold = "\n".join([*lines, " print(1, flush=True)", " input()"])
    first = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert first.stdout is not None
    first.stdout.readline()
    before = log(tmp_path / "run")
    with pytest.raises(RunLockedError, match=rf"in use by process {first.pid} on"):
        train()
    assert log(tmp_path / "run") == before
    first.communicate(b"\n")
    train()


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """Return a switch: while it is on, the disk takes no checkpoint and no line of the log."""
    is_full = [False]
    write, note = snapshots.write_durably, RunFolder.log

    def refuse(path: Path, parts: Any) -> Any:
        if is_full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, parts)

    def refuse_line(folder: RunFolder, line: str) -> None:
        if is_full[0]:
            raise OutputError("log.txt cannot be written (No space left on device). Free space or check it.")
        note(folder, line)

    def switch(on: bool) -> None:
        is_full[0] = on

    monkeypatch.setattr(snapshots, "write_durably", refuse)
    monkeypatch.setattr(RunFolder, "log", refuse_line)
    yield switch
    is_full[0] = False


def test_training_outlives_a_full_disk(
    train: Any, tmp_path: Path, full_disk: Callable[[bool], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Checkpoints that cannot be written are told, and the result is the same."""
    expected = train("whole", **EVERYTHING)

    class Disk(Callback):
        def batch_ended(self, report: StepReport) -> None:
            full_disk(report.step in (1, 2, 6, 7))

    assert train(callbacks=[Disk()], **{**EVERYTHING, "verbose": True}) == expected
    told = capsys.readouterr().err
    assert told.count("This checkpoint could not be written, and training goes on: ") == 4
    assert "no space left on the disk" in told


def test_full_disk_at_the_last_save_is_an_error(
    train: Any, interrupt: Any, tmp_path: Path, full_disk: Callable[[bool], None]
) -> None:
    """Not the end that SIGTERM wants: what was done since the last checkpoint is lost, and that is said."""
    expected = train("whole", **EVERYTHING)

    def strike() -> None:
        full_disk(True)
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(OutputError, match="no space left on the disk"):
        train(at=7, what=strike, **EVERYTHING)
    full_disk(False)
    assert saved(tmp_path / "run")[-1] == 6
    assert train(**EVERYTHING) == expected


def damage(run_dir: Path, step: int) -> None:
    """Change one bit of a checkpoint's weights."""
    file = run_dir / "checkpoints" / f"{step:09d}" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)


def test_older_checkpoint_stands_in_for_a_damaged_one(train: Any, interrupt: Any, tmp_path: Path) -> None:
    """It says so, and comes to the same result."""
    expected = train("whole", **EVERYTHING)
    interrupt(at=7, **EVERYTHING)
    damage(tmp_path / "run", 6)
    assert train(**EVERYTHING) == expected
    assert "The checkpoint 000000006 cannot be used (" in log(tmp_path / "run")
    assert "Going on in epoch 2, after 5 batches." in log(tmp_path / "run")


def test_damaged_checkpoints_are_never_forgotten(train: Any, interrupt: Any, tmp_path: Path, tree_hash: Hash) -> None:
    """Nobody begins anew where there is work that cannot be read."""
    interrupt(at=7)
    for step in (5, 6):
        damage(tmp_path / "run", step)
    before = tree_hash(tmp_path / "run" / "checkpoints" / "000000005")
    with pytest.raises(CheckpointError, match=r"(?s)000000006 cannot be used.*000000005 cannot be used.*run_dir"):
        train()
    assert saved(tmp_path / "run") == [5, 6]
    assert tree_hash(tmp_path / "run" / "checkpoints" / "000000005") == before


@pytest.mark.parametrize("content", [None, "{"])
def test_checkpoints_of_an_unknown_training_are_refused(
    train: Any, interrupt: Any, tmp_path: Path, content: str | None
) -> None:
    """Without run.json nobody knows whether it is the same training."""
    interrupt(at=7)
    identity = tmp_path / "run" / "checkpoints" / "run.json"
    identity.unlink() if content is None else identity.write_text(content)
    with pytest.raises(CheckpointError, match=r"run\.json cannot be read.*another run_dir"):
        train(learning_rate=0.1)


def test_resume_is_true_only_where_there_is_something(
    train: Any, interrupt: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is not there is a mistake, not a reason to begin anew."""
    monkeypatch.chdir(tmp_path)
    for folder in ("run", "auto"):
        with pytest.raises(
            ConfigError, match=r"resume=True: there is no interrupted run of these settings and data in"
        ):
            train(folder, resume=True)
    with pytest.raises(ConfigError, match=r"resume=True needs the folder of the interrupted run"):
        train(resume=True, run_dir=None)
    assert not (tmp_path / "run").exists()
    interrupt(at=3)
    train(resume=True)


def test_resume_is_false_only_in_another_folder(train: Any, interrupt: Any, tmp_path: Path, tree_hash: Hash) -> None:
    """An interrupted run is not overwritten either."""
    interrupt(at=3)
    before = tree_hash(tmp_path / "run")
    with pytest.raises(OutputError, match=r"holds an interrupted run\. Leave resume='auto' to go on with it, or type"):
        train(resume=False)
    assert tree_hash(tmp_path / "run") == before


@pytest.mark.parametrize(
    "names", [["log.txt"], ["config.yaml"], ["config.yaml", "log.txt"], [".lock"], ["checkpoints/"]]
)
def test_run_that_was_killed_at_once_begins_anew(train: Any, tmp_path: Path, names: list[str]) -> None:
    """Whatever it had written of its folder by then."""
    train("other", epochs=1)
    (tmp_path / "run").mkdir()
    for name in names:
        if name.endswith("/"):
            (tmp_path / "run" / name).mkdir()
        else:
            content = (tmp_path / "other" / name).read_bytes() if name == "config.yaml" else b""
            (tmp_path / "run" / name).write_bytes(content)
    train(epochs=1)


def test_time_budget_goes_on_with_what_is_left(train: Any, interrupt: Any, tmp_path: Path) -> None:
    """The seconds of earlier sessions count, pauses between them do not."""
    budget = {"time_budget": 3.0}

    class Watch(Callback):
        def __init__(self) -> None:
            self.seconds: list[float] = []

        def batch_ended(self, report: StepReport) -> None:
            self.seconds.append(report.seconds)
            if report.seconds > 1.5 and len(self.seconds) == report.step:
                raise PowerFailureError

    first, second = Watch(), Watch()
    interrupt(at=0, callbacks=[first], **budget)
    train(callbacks=[second], **budget)
    assert second.seconds[0] > first.seconds[-2]
    with (tmp_path / "run" / "history.csv").open(newline="") as file:
        assert 2.5 < float(list(csv.DictReader(file))[-1]["seconds"]) < 6


class Counter(Callback):
    """Counts batches across sessions."""

    def __init__(self) -> None:
        self.batches = 0

    def batch_ended(self, report: StepReport) -> None:
        self.batches += 1

    def state(self) -> dict[str, Any]:
        return {"batches": self.batches}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.batches = state["batches"]


def test_callbacks_keep_their_state(train: Any, interrupt: Any) -> None:
    """What `state` returned comes back in `restore`."""
    interrupt(at=8, callbacks=[Counter()])
    counter = Counter()
    train(callbacks=[counter])
    assert counter.batches == 12


def test_other_callbacks_are_refused(train: Any, interrupt: Any, tmp_path: Path) -> None:
    """Nobody could tell whose state is whose."""
    interrupt(at=8, callbacks=[Counter()])
    with pytest.raises(CheckpointError, match=r"had \d callbacks and loggers, this one has \d\. Pass the same ones"):
        train()
    assert saved(tmp_path / "run") == [6, 7]


def poisoned(logits: Tensor, targets: Tensor) -> Tensor:
    """Be no number where an image begins with class 3."""
    loss = torch.nn.functional.cross_entropy(logits, targets.long().clamp(max=3))
    return loss * float("nan") if bool((targets[:, 0, 0] == 3).any()) else loss


def test_skipped_steps_are_not_forgotten(train: Any, interrupt: Any, tmp_path: Path, arrays: Any) -> None:
    """Wherever a bad batch stands in the step it shares with others: statistics, report and weights are the same."""
    images, masks = arrays(count=10, size=32)
    masks[:, 0, 0] = 0
    masks[3, 0, 0] = 3
    settings = {"data": (images, masks), "loss": poisoned, "accumulate": 3, "batch_size": 1, "epochs": 2}
    expected = train("whole", **settings)
    report = json.loads((tmp_path / "whole" / "nan_report.json").read_text())
    assert [step["epoch"] for step in report["skipped_steps"]] == [0, 1]
    assert all(len(step["images"]) > 1 for step in report["skipped_steps"])
    for step in range(2, int(expected["rows"][-1]["step"]) + 1, 2):
        interrupt(f"run_{step}", at=step, **settings)
        assert train(f"run_{step}", **settings) == expected, step
        assert json.loads((tmp_path / f"run_{step}" / "nan_report.json").read_text()) == report, step


class Memory:
    """A loss that runs out of memory once, for batches of more than one image."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        self.left -= 1
        if self.left == 0:
            raise torch.OutOfMemoryError("out of memory")
        return torch.nn.functional.cross_entropy(logits, targets.long().clamp(max=3))

    def __repr__(self) -> str:
        return "Memory"


def test_smaller_pieces_survive(train: Any, interrupt: Any, tmp_path: Path) -> None:
    """What did not fit into memory once is not tried again."""
    interrupt(at=7, loss=Memory(2))
    assert "goes through the network in 2 pieces" in log(tmp_path / "run")
    sizes: list[int] = []

    class Watched(Memory):
        def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
            sizes.append(len(logits))
            return super().__call__(logits, targets)

    train(loss=Watched(0))
    assert set(sizes[:12]) == {1}
