"""Whole trainings by two processes: what is equal to one, how they stop together, and that none waits for ever."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from torch.distributed import TCPStore

from easyseg.data.shapes import write_shapes

PROGRAM = Path(__file__).with_name("worlds.py")
ALONE = ("double_alone", "single_alone", "detector_alone")
SHARED = (
    *("double_shared", "single_shared", "stop", "interrupted_first", "interrupted_again", "undisturbed"),
    *("fewer_first", "detector_shared"),
)
FAILING = ("error", "killed", "small", "synchronised")


class Found:
    """What came of the cases.

    Args:
        folder: where the processes left it.
        codes: exit status of each case, by rank.
    """

    def __init__(self, folder: Path, codes: list[dict[str, int]]) -> None:
        self.folder = folder
        self.codes = codes

    def of(self, case: str, rank: int = 0) -> dict[str, Any]:
        """Return what one process found."""
        return json.loads((self.folder / f"{case}.{rank}.json").read_text())

    def words(self, case: str, rank: int = 0) -> str:
        """Return what it printed."""
        return (self.folder / f"{case}.{rank}.txt").read_text()

    def weights(self, case: str, rank: int = 0) -> dict[str, np.ndarray]:
        """Return its last or best weights."""
        return load_file(self.folder / f"{case}.{rank}.safetensors")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Train everything once: 11 images in batches of 4, so that the last batch is uneven."""
    folder = tmp_path_factory.mktemp("worlds")
    write_shapes(folder / "shapes", count=15, size=40)
    stores = [TCPStore("localhost", 0, is_master=True, wait_for_workers=False) for _ in (*SHARED, *FAILING)]
    cases = [f"{case}={store.port}" for case, store in zip((*SHARED, *FAILING), stores, strict=True)]
    alone = [[f"{case}=0" for case in ALONE], []]
    later = [["fewer_again=0"], []]
    processes = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), str(folder), str(rank), *alone[rank], *cases, *later[rank]],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    answers = [process.communicate(timeout=900)[0] for process in processes]
    return Found(folder, [json.loads(answer) for answer in answers])


def difference(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """Return the largest difference of two sets of weights."""
    assert one.keys() == other.keys()
    return max(float(np.abs(value.astype(np.float64) - other[name]).max()) for name, value in one.items())


def test_training_by_two_is_training_by_one(found: Found) -> None:
    """In float64, where no rounding decides a pixel, all figures of all epochs and the weights are the same."""
    expected, rows = found.of("double_alone")["rows"], found.of("double_shared")["rows"]
    assert len(rows) == 3
    for one, other in zip(expected, rows, strict=True):
        assert other == pytest.approx(one, rel=1e-9, nan_ok=True)
        for name in (name for name in one if "loss" not in name):  # from counts of pixels, which are the same numbers
            assert other[name] == pytest.approx(one[name], rel=0, abs=0, nan_ok=True), name
    assert difference(found.weights("double_alone"), found.weights("double_shared")) < 1e-10


def test_losses_are_equal_in_single_precision(found: Found) -> None:
    """Sums in another order move the loss by less than one millionth."""
    for one, other in zip(found.of("single_alone")["rows"], found.of("single_shared")["rows"], strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-6)
        assert other["val_loss"] == pytest.approx(one["val_loss"], rel=1e-6)


@pytest.mark.parametrize("case", ["double_shared", "single_shared", "detector_shared", "stop", "undisturbed"])
def test_both_processes_have_the_same_model(found: Found, case: str) -> None:
    """To the last bit, statistics of batch normalisation and the moving average included."""
    assert str(found.of(case, 0)["rows"]) == str(found.of(case, 1)["rows"])
    assert difference(found.weights(case, 0), found.weights(case, 1)) == 0


def test_detector_learns_by_two_what_it_learns_by_one(found: Found) -> None:
    """Plain steps of SGD come to the same weights where no box is drawn; images in uneven parts weigh the same."""
    (alone,), (shared,) = (found.of(case)["rows"] for case in ("detector_alone", "detector_shared"))
    assert shared["loss"] == pytest.approx(alone["loss"], rel=1e-6)
    assert shared["loss"] == found.of("detector_shared", 1)["rows"][0]["loss"]
    assert difference(found.weights("detector_alone"), found.weights("detector_shared")) < 1e-6


def test_evaluation_and_prediction_are_shared(found: Found) -> None:
    """A report is whole in both processes; of the images to predict on, each has its own."""
    alone = found.of("double_alone")
    shared = [found.of("double_shared", rank) for rank in range(2)]
    for mine in shared:
        assert mine["images"] == alone["images"]
        assert mine["mean_iou"] == alone["mean_iou"]
    assert sorted(shared[0]["predicted"] + shared[1]["predicted"]) == sorted(alone["predicted"])
    assert [len(mine["predicted"]) for mine in shared] == [6, 5]


def test_first_process_alone_speaks_and_hears(found: Found) -> None:
    """Callbacks and words are the first one's; a callback's wish to stop is obeyed by both."""
    assert [found.of("double_shared", rank)["heard"] for rank in range(2)] == [3, 0]
    assert "2 x cpu (fp32)" in found.words("double_shared", 0)
    assert found.words("double_shared", 1) == ""
    assert [found.of("stop", rank)["stopped"] for rank in range(2)] == ["a callback wants it"] * 2
    assert found.codes[1]["stop"] == 0


def test_signal_to_one_ends_both_and_the_run_goes_on(found: Found) -> None:
    """SIGTERM to the second process saves once; the same command comes to the very result of an undisturbed run."""
    assert [codes["interrupted_first"] for codes in found.codes] == [143, 143]
    assert [codes["interrupted_again"] for codes in found.codes] == [0, 0]
    assert "of epoch 2, " in found.words("interrupted_again")
    assert str(found.of("interrupted_again")["rows"]) == str(found.of("undisturbed")["rows"])  # NaN is not NaN
    assert difference(found.weights("interrupted"), found.weights("undisturbed")) == 0
    assert (found.folder / "undisturbed.run" / "report.html").is_file()


def test_run_goes_on_with_fewer_processes(found: Found) -> None:
    """To its end, and with a word on the last digits."""
    assert [codes["fewer_first"] for codes in found.codes] == [143, 143]
    assert found.codes[0]["fewer_again"] == 0
    words = found.words("fewer_again")
    assert "of epoch 2, " in words
    assert "processes 2 then, 1 now" in words
    assert len(found.of("fewer_again")["rows"]) == 3


def test_error_of_one_is_told_and_ends_both(found: Found) -> None:
    """The other process does not wait, and says nothing that the first has said."""
    assert found.of("error", 1) | {"seconds": 0} == {
        "error": "SampleError",
        "message": f"{found.folder / 'broken.png'}: it is cut off.",
        "told": False,
        "seconds": 0,
    }
    other = found.of("error", 0)
    assert other["error"] == "TrainingError"
    assert "process 1: " in other["message"]
    assert "it is cut off" in other["message"]
    assert other["told"]
    assert [codes["error"] for codes in found.codes] == [1, 1]


def test_killed_process_leaves_nobody_waiting(found: Found) -> None:
    """A process that is gone without a word ends the other with words of its own, long before any patience ends."""
    assert found.codes[1]["killed"] == -9
    other = found.of("killed", 0)
    assert "gone without a word" in other["message"]
    assert not other["told"]
    assert other["seconds"] < 600  # which is the patience of the processes there


@pytest.mark.parametrize(
    ("case", "words"),
    [("small", "batch_size=1 cannot be parted among 2"), ("synchronised", "sync_batchnorm=True needs")],
)
def test_what_cannot_be_shared_is_refused_once(found: Found, case: str, words: str) -> None:
    """Both processes find the mistake, one of them tells it, and no folder is left behind."""
    results = [found.of(case, rank) for rank in range(2)]
    assert all(words in result["message"] for result in results if result["error"] == "ConfigError")
    assert sorted(result["told"] for result in results) == [False, True]
    assert not (found.folder / f"{case}.run").exists()
