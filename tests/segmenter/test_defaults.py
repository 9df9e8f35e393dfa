"""What "auto" means."""

from __future__ import annotations

from pathlib import Path

import pytest

from easyseg.segmenter import defaults
from easyseg.segmenter.defaults import (
    choose_batch_size,
    choose_cache_bytes,
    choose_learning_rates,
    choose_workers,
)


@pytest.mark.parametrize(
    ("usual", "num_images", "expected"),
    [(8, 500, 8), (16, 500, 16), (8, 12, 3), (16, 12, 3), (8, 3, 1), (2, 1, 1)],
)
def test_batch_size_leaves_four_steps_to_an_epoch(usual: int, num_images: int, expected: int) -> None:
    """The usual one, fewer for few images, at least 1."""
    assert choose_batch_size("auto", usual=usual, num_images=num_images) == expected


def test_given_numbers_are_kept() -> None:
    """Whoever gives a number gets it."""
    assert choose_batch_size(64, usual=8, num_images=3) == 64
    assert choose_workers(3, device_type="cuda", start_method="spawn") == 3
    assert choose_learning_rates(0.3, 0.2, usual=1e-3, optimizer="sgd", pretrained=True) == (0.3, 0.2)


@pytest.mark.parametrize(
    ("usual", "optimizer", "pretrained", "expected"),
    [
        (1e-3, "adamw", False, (1e-3, 1e-3)),
        (1e-3, "adam", True, (1e-3, 1e-4)),
        (1e-3, "sgd", False, (1e-2, 1e-2)),
        (2e-4, "adamw", True, (2e-4, 2e-5)),
    ],
)
def test_pretrained_encoder_gets_a_tenth(
    usual: float, optimizer: str, pretrained: bool, expected: tuple[float, float]
) -> None:
    """And SGD ten times the rate of Adam."""
    rates = choose_learning_rates("auto", "auto", usual=usual, optimizer=optimizer, pretrained=pretrained)
    assert rates == pytest.approx(expected)


def test_encoder_follows_a_given_rate() -> None:
    """A rate for the decoder alone counts for the encoder, too."""
    assert choose_learning_rates(0.5, "auto", usual=1e-3, optimizer="adamw", pretrained=True) == (0.5, 0.05)
    assert choose_learning_rates(0.5, "auto", usual=1e-3, optimizer="adamw", pretrained=False) == (0.5, 0.5)


@pytest.mark.parametrize(("processors", "expected"), [(1, 1), (2, 1), (6, 5), (64, 8)])
def test_workers_leave_a_processor_free_beside_a_gpu(
    monkeypatch: pytest.MonkeyPatch, processors: int, expected: int
) -> None:
    """Eight at the most; on a CPU none, for the network needs it."""
    monkeypatch.setattr(defaults, "processor_count", lambda: processors)
    assert choose_workers("auto", device_type="cuda", start_method="fork") == expected
    assert choose_workers("auto", device_type="cpu", start_method="fork") == 0


@pytest.mark.parametrize("start_method", ["spawn", "forkserver"])
def test_workers_that_run_the_script_again_are_never_chosen(start_method: str) -> None:
    """A script without an 'if __name__' would start itself once per worker."""
    assert choose_workers("auto", device_type="cuda", start_method=start_method) == 0
    assert choose_workers("auto", device_type="mps", start_method=start_method) == 0


def test_cache_takes_its_share_of_free_memory_and_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A quarter of each, all of one, or nothing."""
    monkeypatch.setattr(defaults, "available_memory", lambda: 1000)
    monkeypatch.setattr(defaults, "free_disk_bytes", {tmp_path: 8000}.__getitem__)
    assert {given: choose_cache_bytes(given, tmp_path) for given in ("auto", "ram", "disk", "none")} == {
        "auto": (250, 2000),
        "ram": (1000, 0),
        "disk": (0, 8000),
        "none": (0, 0),
    }
