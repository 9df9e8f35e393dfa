"""Two processes against one: the pytest process is the first of the two, and `two_processes.py` the second."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.distributed import TCPStore

from easyseg.training import joining
from easyseg.training.distributed import ALONE

PROGRAM = Path(__file__).with_name("two_processes.py")
EXACT = 1e-12
"""What float64 sums in another order may differ by."""


def loaded() -> ModuleType:
    """Import the program as a module."""
    specification = importlib.util.spec_from_file_location("two_processes", PROGRAM)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def found() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what each of two processes found."""
    program = loaded()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(store.port)}
    shared |= {"TORCHELASTIC_USE_AGENT_STORE": "True"}  # torchrun's word for a store that is there already
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (shared | {"RANK": "1", "LOCAL_RANK": "1"}).items():
            patch.setenv(name, value)
        second = subprocess.Popen([sys.executable, str(PROGRAM)], stdout=subprocess.PIPE, text=True)
        patch.setenv("RANK", "0")
        patch.setenv("LOCAL_RANK", "0")
        patch.setattr(joining._Meeting, "has_parted", False)
        patch.setattr(joining._Meeting, "store", None)
        patch.setattr(joining, "PATIENCE_SECONDS", 600.0)
        try:
            with joining.joined_world(torch.device("cpu")) as world:
                own = program.everything(world)
        finally:
            joining.part()
            torch.set_num_threads(threads)
        answer, _ = second.communicate(timeout=900)
    return json.loads(json.dumps(own)), json.loads(answer)


def test_verbs_of_a_world(found: tuple[dict[str, Any], ...]) -> None:
    """Each process gets what it should; sums of integers are exact."""
    for rank, mine in enumerate(result["verbs"] for result in found):
        assert mine == {
            "first": rank == 0,
            "highest": [1, 1, 7],
            "added": [2**54 + 1, 1],
            "stacked": [[9, 9]],
            "from first": {"text": "ä", "number": 0.1},
            "of each": [[0, None, ""], [1, None, "x"]],
            "spread": [[[1.0, 1.0], [1.0, 1.0]], 5, [1.0, 1.0, 1.0]],
            "joined": [[1.0, 2.0, 2.0]] * 2,
            "gradient of joined": [[1.0]] * 2 if rank == 0 else [[2.0, 3.0]] * 2,
            "total": 3.0,
            "gradient of total": 6.0,
            "order": [rank],
        }


def test_world_of_one_gives_back_what_it_is_given() -> None:
    """Nothing is copied, and no process group is asked for."""
    tensor = torch.ones(2, 2)
    assert ALONE.highest(3, 4) == (3, 4)
    assert ALONE.from_first(tensor) is ALONE.added(tensor) is ALONE.total(tensor) is tensor
    assert ALONE.joined(tensor) is ALONE.stacked(tensor) is tensor
    assert ALONE.of_each("x") == ["x"]
    ALONE.barrier()
    ALONE.spread([tensor])


def test_losses_and_gradients_are_those_of_the_whole_batch(found: tuple[dict[str, Any], ...]) -> None:
    """Every loss, for 1 to 5 images, one of them void: the parts of two processes make up that of one."""
    for result in found:
        for name, (difference, count) in result["losses"].items():
            assert difference < EXACT, name
            assert count > 5, name
        assert result["weighted"][0] < EXACT
        assert result["own loss"][0] < EXACT


@pytest.mark.parametrize("count", range(1, 10))
def test_training_is_the_same_for_any_number_of_images(found: tuple[dict[str, Any], ...], count: int) -> None:
    """Batches of four, the last of which may leave a process without images."""
    for result in found:
        outcome = result["training"][str(count)]
        assert outcome["loss"] < EXACT
        assert outcome["weights"] < EXACT
        assert outcome["same"]
        assert outcome["images"]
        assert outcome["steps"] == 3 * -(-count // 4)


@pytest.mark.parametrize("how", ["accumulated", "averaged"])
def test_training_is_the_same_with_more_to_it(found: tuple[dict[str, Any], ...], how: str) -> None:
    """Batches that share a step, and a moving average of the weights."""
    for result in found:
        assert result[how]["loss"] < EXACT
        assert result[how]["weights"] < EXACT
        assert result[how]["same"]


def test_statistics_are_the_first_ones(found: tuple[dict[str, Any], ...]) -> None:
    """After each batch all processes have one state, moving average included, so one of them can save it."""
    for result in found:
        assert result["normalised"] == {"same": True, "finite": True}


def test_what_does_not_learn_stays(found: tuple[dict[str, Any], ...]) -> None:
    """Frozen parameters, and those without a part in the loss, which weight decay must not touch either."""
    for result in found:
        assert result["frozen"] == {"encoder.weight": True, "unused.weight": True, "head.weight": False}


def test_all_processes_stop_together(found: tuple[dict[str, Any], ...]) -> None:
    """A wish of an observer of the first process, and its time budget, reach the other."""
    for result in found:
        assert result["stopped"] == {"reason": "enough", "steps": 3, "timed together": True}


def test_step_that_is_broken_for_one_is_skipped_by_all(found: tuple[dict[str, Any], ...]) -> None:
    """A loss that is no finite number for one process moves no weights, and all images of the step are named."""
    for result in found:
        assert result["skipped"] == {"images": [[4, 5, 6, 7]] * 3, "same": True}


def test_memory_is_that_of_the_machine(found: tuple[dict[str, Any], ...]) -> None:
    """What one process writes, the other reads."""
    for result in found:
        assert result["memory"] == {"seen": [1, 2, 0], "length": 100, "own": [0, 0, 0]}


@pytest.mark.parametrize("count", range(1, 8))
def test_evaluation_is_exact(found: tuple[dict[str, Any], ...], count: int) -> None:
    """No image counts twice, figures are equal to the last bit, and all processes poll equally often."""
    for result in found:
        assert result["evaluation"][str(count)] == {
            "counts": True,
            "image counts": True,
            "loss": True,
            "rounds": True,
        }


@pytest.mark.parametrize("count", [1, 2, 5])
def test_evaluation_of_objects_is_exact(found: tuple[dict[str, Any], ...], count: int) -> None:
    """All processes know what each measured, also where one has no image."""
    for result in found:
        assert result["detection"][str(count)] == {"tables": True, "types": True, "found": count}
