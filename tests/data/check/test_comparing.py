"""Comparing many pairs: the same verdicts in threads and in processes, in order, and none that is needless."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from easyseg.data.check import gathering, worker
from easyseg.data.check.comparing import AT_ONCE, Copy, compared, plane_of_file, verdicts_here
from easyseg.data.check.gathering import Worker, compared_side_by_side
from easyseg.data.shapes import draw_shapes
from easyseg.io.images import write_image

PAIRS = [Copy(0, 1), Copy(0, 2), Copy(1, 2, "mirrored"), Copy(0, 3), Copy(1, 4, "upside down"), Copy(3, 4)]
VERDICTS = [True, False, True, False, True, False]
"""Of the pictures below."""


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """A picture, a lighter one, both mirrored, and another one."""
    picture, other = (draw_shapes(90, np.random.default_rng(seed))[0] for seed in (3, 4))
    pictures = [picture, (picture * 0.8).astype(np.uint8), picture[:, ::-1], other, picture[::-1]]
    paths = [tmp_path / f"{number}.png" for number in range(len(pictures))]
    for path, pixels in zip(paths, pictures, strict=True):
        write_image(path, np.ascontiguousarray(pixels))
    plane_of_file.cache_clear()
    return paths


def found(images: Sequence[Path], workers: int) -> list[bool]:
    """Compare all pairs; their order must stay."""
    results = list(compared_side_by_side(images, PAIRS, len(PAIRS), workers=workers))
    assert [pair for pair, _ in results] == PAIRS
    return [is_copy for _, is_copy in results]


def test_threads_and_processes_agree(images: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever pictures are compared, the verdicts are the same."""
    assert found(images, workers=0) == VERDICTS
    monkeypatch.setattr(gathering, "_MANY_PAIRS", 1)
    monkeypatch.setattr(gathering, "verdicts_here", lambda _: lambda pairs: pytest.fail("compared here"))
    assert found(images, workers=1) == VERDICTS


def test_few_pairs_start_no_process(images: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """They are compared before one has come up."""
    monkeypatch.setattr(gathering, "_start_process", lambda: pytest.fail("a process was started"))
    assert found(images, workers=2) == VERDICTS


def test_without_processes_threads_compare(images: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Python cannot be started anew, nothing is lost but speed."""
    monkeypatch.setattr(gathering, "_MANY_PAIRS", 1)
    monkeypatch.setattr(gathering, "_PROGRAM", "no_module_of_this_name")
    assert found(images, workers=1) == VERDICTS


def test_a_file_that_is_gone_is_no_copy(images: list[Path]) -> None:
    """It was there when it was first read."""
    images[1].unlink()
    assert found(images, workers=0) == [False] * len(PAIRS)


DEADLY = """
import os
from easyseg.data.check import worker
read = worker.plane_of_file
def deadly(path):
    if path.endswith("2.png"):
        os._exit(11)
    return read(path)
worker.plane_of_file = deadly
worker.main()
"""


def test_a_file_that_kills_its_reader_is_no_copy(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the pairs with that file are lost."""
    (tmp_path / "deadly_comparer.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(gathering, "_PROGRAM", "deadly_comparer")
    comparer = Worker()
    try:
        names = [str(path) for path in images]
        assert comparer.compare([(names[0], names[2], "mirrored"), (names[0], names[1], "")]) == [False, True]
    finally:
        comparer.close()


def test_a_request_of_pairs_is_answered(images: list[Path]) -> None:
    """The answer tells for each pair whether it is a copy."""
    names = [str(path) for path in images]
    request = f'{{"pairs": [["{names[0]}", "{names[1]}", ""], ["{names[0]}", "{names[3]}", ""]]}}'
    assert worker.answer(request.encode()) == b"[true, false]"


def test_what_is_known_meanwhile_is_not_compared() -> None:
    """Pairs are asked for while verdicts come in, and only so many ahead."""
    asked: list[int] = []
    told = 0

    def pairs() -> Iterator[Copy]:
        for number in range(10 * AT_ONCE):
            asked.append(number - told)
            yield Copy(number, number + 1)

    for number, (pair, is_copy) in enumerate(compared(pairs(), lambda batch: [True] * len(batch), threads=1)):
        assert pair.first == number
        assert is_copy
        told = number + 1
    assert told == 10 * AT_ONCE
    assert max(asked) <= 3 * AT_ONCE


def test_planes_are_kept(images: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture of several pairs is read once, if no other thread reads it at the very same time."""
    verdicts_of = verdicts_here(images)
    assert verdicts_of(PAIRS) == VERDICTS
    for path in images:
        path.unlink()
    assert verdicts_of(PAIRS) == VERDICTS


def test_an_error_ends_the_comparisons() -> None:
    """What goes wrong in a thread is raised, and nothing goes on behind it."""

    def broken(batch: Sequence[Copy]) -> list[bool]:
        raise cv2.error

    with pytest.raises(cv2.error):
        list(compared([Copy(0, 1)] * 5 * AT_ONCE, broken, threads=2))
