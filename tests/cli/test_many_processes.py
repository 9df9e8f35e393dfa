"""What the commands do where several processes work together, or are to be started."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from easyseg import devices
from easyseg.cli import main, predict_command
from easyseg.cli.parser import without_flag
from easyseg.cli.predict_command import PictureNames
from easyseg.cli.speaking import together
from easyseg.devices import ProcessNumbers
from easyseg.io.images import write_image
from easyseg.training import joining, launching


def numbers_of(rank: int, size: int) -> ProcessNumbers:
    """Return what a launcher tells a process on one machine."""
    return ProcessNumbers(rank, size, rank, size)


def test_flag_is_taken_out_with_its_value() -> None:
    """However the two are joined; words that only look alike stay."""
    words = ["a.yaml", "--devices", "2", "--epochs", "3", "--devices=4", "--device", "cpu"]
    assert without_flag(words, "--devices") == ["a.yaml", "--epochs", "3", "--device", "cpu"]


def test_number_of_devices_starts_as_many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """They get the same words but for that flag, and their exit status is the command's."""
    calls: list[Any] = []

    def launch(words: list[str], *, devices: int, device: str) -> int:
        calls.append((words, devices, device))
        return 7

    monkeypatch.setattr(launching, "launch", launch)
    assert main(["train", "--data", "photos", "--devices", "2", "--device", "cpu"]) == 7
    assert calls == [(["train", "--data", "photos", "--device", "cpu"], 2, "cpu")]


@pytest.mark.parametrize("count", ["0", "two", "-1"])
def test_what_is_no_number_of_devices_is_refused(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With an example."""
    assert main(["train", "--data", "photos", f"--devices={count}"]) == 2
    assert "a number of devices belongs there, such as --devices 4" in capsys.readouterr().err


def test_processes_meet_for_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are several; one alone meets nobody."""
    met: list[torch.device] = []

    @contextmanager
    def joined_world(device: torch.device) -> Iterator[None]:
        met.append(device)
        yield

    monkeypatch.setattr(joining, "joined_world", joined_world)
    with together("cpu"):
        assert not met
    monkeypatch.setattr(devices, "process_numbers", lambda: numbers_of(1, 2))
    with together("cpu"):
        assert met == [torch.device("cpu")]


def test_pictures_of_several_processes_have_the_names_that_one_would_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each knows those that the others take, so that none is taken twice."""
    import numpy as np

    for name in ("a.jpg", "a.tif", "b.jpg"):
        write_image(tmp_path / "photos" / name, np.zeros((8, 8, 3), np.uint8))
    source, target = str(tmp_path / "photos"), tmp_path / "pictures"

    def places(rank: int, size: int) -> dict[str, str]:
        monkeypatch.setattr(devices, "process_numbers", lambda: numbers_of(rank, size))
        names = PictureNames(source, target)
        place = predict_command._shared_names(names, source, recursive=True)
        found = {}
        for file in ("a.jpg", "a.tif", "b.jpg"):
            try:
                found[file] = place(tmp_path / "photos" / file).name
            except KeyError:
                continue
        return found

    alone = places(0, 1)
    first, second = places(0, 2), places(1, 2)
    assert not first.keys() & second.keys()
    assert first | second == alone
    assert len(set(alone.values())) == 3
