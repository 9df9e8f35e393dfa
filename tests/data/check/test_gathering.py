"""The one pass over all files: the same in threads and in processes, whatever happens to one of these."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from easyseg.data.check import gathering, worker
from easyseg.data.check.digest import digest_images, digest_masks, from_bytes
from easyseg.data.check.gathering import CRASHED, Chunk, Worker, gather
from easyseg.io.images import write_image


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Thirty small pictures of different values."""
    paths = [tmp_path / f"{number:02}.png" for number in range(30)]
    for number, path in enumerate(paths):
        write_image(path, np.full((5, 6), number, np.uint8))
    return paths


def brightness(digest: object) -> list[int]:
    """Return the lowest brightness of each image."""
    return digest.span[:, 0].tolist()  # type: ignore[attr-defined, no-any-return]


def test_threads_read_all_in_order(files: list[Path]) -> None:
    """Few files are read in threads, and come out in their order."""
    images, masks = gather(files, files[:7], verbose=False)
    assert brightness(images) == list(range(30))
    assert masks.values.tolist() == list(range(7))


def test_processes_read_the_same(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """In processes, the digests are those of threads, in the same order."""
    monkeypatch.setattr(gathering, "_CHUNK", 4)
    images, masks = gather(files, files, workers=2, verbose=False)
    assert brightness(images) == list(range(30))
    assert (images.coefficients == digest_images(files).coefficients).all()
    assert (masks.counts == digest_masks(files).counts).all()


def test_nothing_to_read() -> None:
    """No files give empty digests."""
    images, masks = gather([], [], verbose=False)
    assert len(images) == len(masks) == 0


def test_arrays_stay_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels in memory are not sent anywhere."""
    monkeypatch.setattr(gathering, "_start_process", lambda: pytest.fail("a process was started"))
    images, _ = gather([np.full((4, 4, 3), 9, np.uint8)], [np.ones((4, 4), np.uint8)], workers=2, verbose=False)
    assert brightness(images) == [9]


@pytest.mark.parametrize(("count", "cores", "expected"), [(10, 4, 0), (2000, 4, 4), (2000, 1, 0), (2000, 64, 16)])
def test_processes_are_for_many_files_and_cores(
    monkeypatch: pytest.MonkeyPatch, count: int, cores: int, expected: int
) -> None:
    """Processes take a moment to start, so they are for many files; there is one for each core."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores), raising=False)
    assert gathering._choose_workers("auto", count, [Path("a.png")]) == expected
    assert gathering._choose_workers(3, count, [Path("a.png")]) == 3


DEADLY = """
import os, sys
from easyseg.data.check import digest, worker
read = worker.digest_images
def deadly(paths):
    if any("13" in path for path in paths):
        os._exit(11)
    return read(paths)
worker.digest_images = deadly
worker.main()
"""


def test_a_file_that_kills_its_reader_is_found(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that brings the decoder down is named; all others are read."""
    (tmp_path / "deadly_worker.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(gathering, "_PROGRAM", "deadly_worker")
    monkeypatch.setattr(gathering, "_CHUNK", 10)
    images, masks = gather(files, files, workers=1, verbose=False)
    assert [(trouble.row, trouble.problem) for trouble in images.troubles] == [(13, CRASHED)]
    assert masks.troubles == ()
    assert brightness(images) == [0 if number == 13 else number for number in range(30)]
    assert images.orientation.tolist() == [int(number != 13) for number in range(30)]
    assert masks.values.tolist() == list(range(30))


def test_a_mask_that_kills_its_reader_has_no_values(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The row of such a mask is empty."""
    images, masks = gathering._crashed(Chunk([], files[:1]))
    assert len(images) == 0
    assert (len(masks), len(masks.values), masks.orientation.tolist()) == (1, 0, [0])
    assert masks.troubles[0].problem == CRASHED


def test_without_processes_threads_do_the_work(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Python cannot be started anew, nothing is lost but speed."""
    monkeypatch.setattr(gathering, "_PROGRAM", "no_module_of_this_name")
    images, _ = gather(files, [], workers=2, verbose=False)
    assert brightness(images) == list(range(30))


def test_a_closed_worker_starts_no_other(files: list[Path]) -> None:
    """What is asked of a worker that was ended on purpose is refused."""
    ended = Worker()
    assert brightness(ended.read(Chunk(files[:2], []))[0]) == [0, 1]
    ended.close()
    with pytest.raises(gathering.NoWorkerError):
        ended.read(Chunk(files[:2], []))


def test_messages_have_their_length_before_them() -> None:
    """A message arrives whole or not at all."""
    stream = io.BytesIO()
    worker.send(stream, b"hello")
    worker.send(stream, b"")
    stream.seek(0)
    assert [worker.receive(stream) for _ in range(3)] == [b"hello", b"", None]
    assert worker.receive(io.BytesIO(stream.getvalue()[:10])) is None


def test_a_worker_answers_requests(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A request names files, its answer holds their digests."""
    request = f'{{"images": ["{files[3]}"], "masks": ["{files[4]}", "{files[5]}"]}}'
    images, masks = from_bytes(worker.answer(request.encode()))
    assert brightness(images) == [3]
    assert masks.values.tolist() == [4, 5]


def test_the_progress_bar_counts_files(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    """The bar ends at the number of files, and is silent where nobody looks."""
    gather(files, files, verbose=True)
    assert "60/60" in capsys.readouterr().err
    gather(files, files)
    assert capsys.readouterr().err == ""


STREAMS = ("stdin", "stdout", "stderr")


def test_a_process_answers_until_nobody_asks(monkeypatch: pytest.MonkeyPatch, shapes: Path) -> None:
    """What stands on its standard input is answered in order, and a request that is cut off ends it."""
    requests, replies = io.BytesIO(), io.BytesIO()
    images = [str(path) for path in sorted(shapes.glob("train/images/*.png"))[:2]]
    worker.send(requests, json.dumps({"images": images, "masks": []}).encode())
    worker.send(requests, json.dumps({"images": [], "masks": images[:1]}).encode())
    requests.write(bytes([9, 0, 0, 0, 0, 0, 0, 0, 65]))
    requests.seek(0)
    moved: list[tuple[int, int]] = []
    streams = {name: SimpleNamespace(buffer=requests, fileno=lambda at=at: at) for at, name in enumerate(STREAMS)}
    monkeypatch.setattr(worker, "sys", SimpleNamespace(**streams))
    monkeypatch.setattr(worker.os, "dup", lambda descriptor: descriptor + 50)
    monkeypatch.setattr(worker.os, "dup2", lambda *descriptors: moved.append(descriptors))
    monkeypatch.setattr(worker.os, "fdopen", lambda *_: replies)
    monkeypatch.setattr(worker.cv2, "setNumThreads", lambda _: None)
    worker.main()
    assert moved == [(2, 1)]
    replies.seek(0)
    assert worker.receive(replies) == worker.READY
    found = [from_bytes(worker.receive(replies) or b"") for _ in range(2)]
    assert [(len(of_images), len(of_masks)) for of_images, of_masks in found] == [(2, 0), (0, 1)]
    assert worker.receive(replies) is None
