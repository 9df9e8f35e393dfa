"""A part of Open Images comes into a folder that is read at once, whatever happens on the way."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from easyseg import load_dataset
from easyseg.config import DownloadSettings
from easyseg.data.download import mask_archives, open_images
from easyseg.data.download.open_images import WORK_FOLDER, Downloaded, download_open_images
from easyseg.data.download.web import Patience
from easyseg.errors import ConfigError, DownloadError, OutputError, UnknownNameError
from easyseg.io.locks import run_lock

TABLE = "/openimages/v5/train-annotations-object-segmentation.csv"
ARCHIVE = "/openimages/v5/train-masks/train-masks-0.zip"


@pytest.fixture
def to(tmp_path: Path) -> Path:
    """Where it goes."""
    return tmp_path / "pets"


def fetch(server: Any, to: Path, patience: Patience, **given: object) -> Downloaded:
    """Download into a folder."""
    return download_open_images(to, server.settings(**given), patience=patience, verbose=False)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of each file that is not hidden."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith("."):
            found[name] = path.read_bytes()
    return found


def test_images_with_their_masks(server: Any, to: Path, patience: Patience) -> None:
    """The folder is read at once, with the classes asked for, and holds nothing else."""
    done = fetch(server, to, patience, limit=6)
    assert done == Downloaded(to, "train", 6, 6)
    dataset = load_dataset(to)
    assert dataset.format == "open_images"
    assert dataset.classes == ["background", "Cat", "Dog"]
    assert dataset.splits() == {"train": 5, "val": 1}
    dataset.verify()
    counts = dataset.pixel_counts()
    assert len(counts) == 6
    assert (counts[:, 1:].sum(axis=1) > 0).all()
    assert len([name for name in contents(to) if name.endswith(".jpg")]) == 6


def test_rows_are_those_of_the_table(server: Any, to: Path, patience: Patience) -> None:
    """Clicks included, in their order; rows of other classes and images are left out."""
    fetch(server, to, patience, limit=6)
    lines = (to / "train-annotations-object-segmentation.csv").read_text().splitlines()
    published = server.files[TABLE].decode().splitlines()
    assert lines[0] == published[0]
    assert lines[1:] == [line for line in published if line in lines[1:]]
    assert len(lines) == 7
    assert not any("m07j7r" in line for line in lines)


def test_all_classes_of_a_split(server: Any, to: Path, patience: Patience, fill: Any) -> None:
    """Without classes and limit, everything comes; a second split goes beside the first."""
    fill(server, split="validation", images=3, first=90)
    assert fetch(server, to, patience, classes=None, limit=None).num_images == 12
    assert fetch(server, to, patience, classes=None, limit=None, split="val").num_images == 3
    dataset = load_dataset(to)
    assert dataset.splits() == {"train": 12, "val": 3}
    assert dataset.classes == ["background", "Cat", "Dog", "Tree"]


def test_a_second_call_fetches_nothing_but_what_is_new(server: Any, to: Path, patience: Patience) -> None:
    """A larger limit adds images; what is there is not asked for again."""
    fetch(server, to, patience, limit=4)
    before = contents(to)
    server.requests.clear()
    fetch(server, to, patience, limit=4)
    assert server.requests == []
    assert contents(to) == before
    fetch(server, to, patience, limit=8)
    assert len([path for path, _ in server.requests if path.endswith(".jpg")]) == 4
    assert len(load_dataset(to)) == 8


@pytest.mark.parametrize("kind", ["drop", "short", "garbage", 500, 503])
def test_a_bad_server(server: Any, to: Path, tmp_path: Path, patience: Patience, fault: Any, kind: Any) -> None:
    """Each file fails twice, and all of it is right in the end."""
    server.sums = "goog"
    fetch(server, to, patience)
    for path in server.files:
        server.faults[path] = [fault(kind, times=2, value="0" if kind == 503 else "")]
    fetch(server, tmp_path / "again", patience)
    assert contents(tmp_path / "again") == contents(to)


def test_half_an_image_is_not_kept(server: Any, to: Path, patience: Patience) -> None:
    """Where the server tells no sums, and the length of what it sends agrees, the image itself says that it is cut."""
    server.sums = "none"
    path = next(path for path in server.files if path.endswith(".jpg"))
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)).save(file, "JPEG")
    server.files[path] = file.getvalue()[: len(file.getvalue()) // 2]
    with pytest.raises(DownloadError, match=r"what the server sends is no whole image"):
        fetch(server, to, patience)
    assert not (to / "images/train" / Path(path).name).exists()


def test_everything_has_to_be_asked_for(server: Any, to: Path, patience: Patience) -> None:
    """Neither classes nor a limit is an error before anything is fetched; no limit can be asked for."""
    for settings in (None, DownloadSettings(), server.settings(classes=None)):
        with pytest.raises(ConfigError, match=r"945,000 to train on\. Type --classes Cat Dog, or --limit 500"):
            download_open_images(to, settings, patience=patience)
    assert not to.exists()
    assert server.requests == []


def test_a_server_without_parts(server: Any, to: Path, tmp_path: Path, patience: Patience) -> None:
    """Whole archives come, and are gone in the end."""
    fetch(server, to, patience)
    server.has_ranges = False
    fetch(server, tmp_path / "again", patience)
    assert contents(tmp_path / "again") == contents(to)
    assert not list((tmp_path / "again" / WORK_FOLDER).glob("*.zip"))


def test_much_of_an_archive_is_one_request(
    server: Any, to: Path, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where most of it is needed, it is fetched whole."""
    monkeypatch.setattr(mask_archives, "_LARGE_SHARE", 0.0)
    fetch(server, to, patience)
    assert server.asked_for("masks-0.zip")[-1] == ""
    load_dataset(to).verify()


def test_a_whole_archive_that_is_damaged(server: Any, to: Path, patience: Patience) -> None:
    """It is thrown away, so that the next call fetches it anew."""
    server.has_ranges = False
    whole = server.files[ARCHIVE]
    server.files[ARCHIVE] = whole[:-30]
    with pytest.raises(DownloadError, match=r"The archive fetched from .*masks-0\.zip cannot be used"):
        fetch(server, to, patience)
    server.files[ARCHIVE] = whole
    fetch(server, to, patience)
    load_dataset(to).verify()


def test_images_and_masks_that_the_server_lacks(server: Any, to: Path, patience: Patience) -> None:
    """Their images are left out of the table, and told; the rest is read without them."""
    images = sorted(path for path in server.files if path.endswith(".jpg"))
    del server.files[images[0]]
    lines = server.files[TABLE].decode().splitlines()
    row = next(line for line in lines if line.startswith(images[1][-20:-4]) and "m07j7r" not in line)
    server.files[TABLE] = "\n".join([*lines, row.replace("_00000000.png", "_000000ff.png")]).encode()
    done = fetch(server, to, patience)
    assert done.num_images == 10
    assert done.left_out == (images[0][-20:-4], images[1][-20:-4])
    assert len(load_dataset(to)) == 10


def test_a_place_without_any_of_the_images(server: Any, to: Path, patience: Patience) -> None:
    """A wrong address is no dataset without images."""
    with pytest.raises(DownloadError, match=r"None of the 4 images is at http.*/nowhere .* Check the address"):
        fetch(server, to, patience, limit=4, images_url=f"{server.address}/nowhere")


def test_an_error_leaves_a_folder_that_the_same_call_completes(
    server: Any, to: Path, tmp_path: Path, patience: Patience, fault: Any
) -> None:
    """Wherever it happens."""
    fetch(server, tmp_path / "whole", patience)
    for path in list(server.files):
        if path.startswith(("/images/train", "/openimages/v5/train", "/openimages/v5/class")):
            server.faults[path] = [fault(500, times=3)]
    files_at_fault = 2 + 3 + 12  # the two tables, the archives and the images
    for _ in range(files_at_fault):
        with pytest.raises(DownloadError, match=r"in 3 attempts\. Check the network"):
            fetch(server, to, patience, threads=1)
    fetch(server, to, patience, threads=1)
    assert contents(to) == contents(tmp_path / "whole")


def test_other_classes_are_not_mixed(server: Any, to: Path, patience: Patience) -> None:
    """Their objects would be background in the images that are there."""
    fetch(server, to, patience, limit=2)
    with pytest.raises(DownloadError, match=r"holds the classes .*Ask for the same classes"):
        fetch(server, to, patience, classes=["Tree"])
    with pytest.raises(DownloadError, match="all are asked for"):
        fetch(server, to, patience, classes=None, limit=None)
    fetch(server, to, patience, limit=2, classes=["/m/0bt9lr", "cat"])
    (to / "open-images.json").write_text("{")
    with pytest.raises(DownloadError, match="not valid JSON"):
        fetch(server, to, patience)
    (to / "open-images.json").write_text("[]")
    with pytest.raises(DownloadError, match="holds the classes of all kinds"):
        fetch(server, to, patience)


def test_a_folder_of_something_else_is_refused(server: Any, to: Path, patience: Patience) -> None:
    """Nothing is written among other files, and nothing where a file is."""
    to.mkdir()
    (to / "thesis.txt").write_text("all of it")
    with pytest.raises(DownloadError, match="is not empty"):
        fetch(server, to, patience)
    with pytest.raises(OutputError):
        fetch(server, to / "thesis.txt", patience)
    assert server.requests == []


@pytest.mark.parametrize("link", ["images", "masks", "images/train", WORK_FOLDER])
def test_links_that_lead_out_are_refused(server: Any, to: Path, tmp_path: Path, patience: Patience, link: str) -> None:
    """Nothing is ever written outside of the folder."""
    outside = tmp_path / "outside"
    outside.mkdir()
    to.mkdir()
    (to / "open-images.json").write_text(json.dumps({"classes": ["/m/01yrx", "/m/0bt9lr"]}))
    (to / link).parent.mkdir(exist_ok=True)
    (to / link).symlink_to(outside)
    with pytest.raises(DownloadError, match=r"leads out of .* Remove the link"):
        fetch(server, to, patience)
    assert not [path for path in outside.rglob("*") if path.is_file()]


HOSTILE_ROWS = [
    "../../../{id}_m01yrx_00000000.png,{id}",
    "{id}_m01yrx_00000000.png,../../../../{id}",
    "/tmp/{id}.png,{id}",
    "{id}_m01yrx_0.png,/etc/passwd",
]


@pytest.mark.parametrize("row", HOSTILE_ROWS)
def test_hostile_tables_write_nothing_outside(
    server: Any, to: Path, tmp_path: Path, patience: Patience, row: str
) -> None:
    """A mirror that nobody vouches for cannot choose where files go."""
    header = server.files[TABLE].decode().splitlines()[0]
    filled = row.format(id="0" * 16)
    server.files[TABLE] = f"{header}\n{filled},/m/01yrx,00000000,0,1,0,1,0.5,\n".encode()
    try:
        fetch(server, to, patience)
    except DownloadError:
        assert [path.name for path in tmp_path.iterdir()] == ["pets"]
    assert all(path.is_relative_to(to) or path == to for path in tmp_path.rglob("*"))


def test_unknown_classes_and_empty_ones(server: Any, to: Path, patience: Patience) -> None:
    """The nearest name is offered, before any table is fetched."""
    with pytest.raises(UnknownNameError, match="Did you mean 'Cat'"):
        fetch(server, to, patience, classes=["Catt"])
    assert not server.asked_for("segmentation.csv")
    server.files["/openimages/v5/class-descriptions-boxable.csv"] += b"/m/0zzz,Unicorn\n"
    (to / WORK_FOLDER / "class-descriptions-boxable.csv").unlink()
    with pytest.raises(DownloadError, match=r"No image of train-annotations.* has a mask of /m/0zzz"):
        fetch(server, to, patience, classes=["Unicorn"])


@pytest.mark.parametrize(
    ("path", "data", "words"),
    [
        ("/openimages/v5/class-descriptions-boxable.csv", b"<html>", "class names fetched cannot be used"),
        (TABLE, b"<html>no such page</html>", "table of masks fetched cannot be used"),
    ],
)
def test_a_page_in_place_of_a_file(
    server: Any, to: Path, patience: Patience, path: str, data: bytes, words: str
) -> None:
    """What a network's login page answers is not kept."""
    whole = server.files[path]
    server.files[path] = data
    with pytest.raises(DownloadError, match=words):
        fetch(server, to, patience)
    server.files[path] = whole
    fetch(server, to, patience)
    assert len(load_dataset(to)) == 12


def test_an_image_that_is_none(server: Any, to: Path, patience: Patience) -> None:
    """It is not written."""
    path = next(path for path in server.files if path.endswith(".jpg"))
    server.files[path] = b"<html>"
    with pytest.raises(DownloadError, match="what the server sends is no whole image"):
        fetch(server, to, patience)
    assert not (to / path[1:]).exists()


def test_a_full_disk_is_said_in_words(
    server: Any, to: Path, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of the masks; the same call goes on afterwards."""
    written = 0
    write = open_images.write_bytes

    def full(path: Path, data: bytes) -> None:
        nonlocal written
        written += 1
        if written > 3:
            raise OutputError(f"{path} cannot be written: no space left on the disk.")
        write(path, data)

    monkeypatch.setattr(open_images, "write_bytes", full)
    with pytest.raises(OutputError, match="no space left on the disk"):
        fetch(server, to, patience)
    monkeypatch.setattr(open_images, "write_bytes", write)
    fetch(server, to, patience)
    load_dataset(to).verify()


def test_one_download_at_a_time(server: Any, to: Path, patience: Patience) -> None:
    """Two processes would write into the same parts of files."""
    to.mkdir()
    with run_lock(to / WORK_FOLDER), pytest.raises(DownloadError, match="Another process downloads into"):
        fetch(server, to, patience)


def test_progress_is_shown(server: Any, to: Path, patience: Patience, capsys: pytest.CaptureFixture[str]) -> None:
    """Bars for the table, the masks and the images; none where nobody looks."""
    download_open_images(to, server.settings(limit=2), patience=patience, verbose=True)
    shown = capsys.readouterr().err
    assert all(word in shown for word in ("train-annotations", "masks", "images", "2/2"))
    download_open_images(to, server.settings(limit=2), patience=patience)
    assert capsys.readouterr().err == ""


_PROGRAM = """
import signal, sys
from easyseg.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # who starts tests in the background may have it ignored
sys.exit(main(sys.argv[1:]))
"""


def test_ctrl_c_leaves_a_folder_that_the_same_command_completes(
    server: Any, to: Path, tmp_path: Path, patience: Patience
) -> None:
    """A real process, a real signal, in the middle of the images."""
    fetch(server, tmp_path / "whole", patience, threads=1)
    slow = server.next_fault

    asked, is_over = [], threading.Event()

    def stalling(path: str) -> object:
        asked.append(path)
        if sum(name.endswith(".jpg") for name in asked) > 3:
            is_over.wait(60)
        return slow(path)

    server.next_fault = stalling
    settings = server.settings()
    words = ["download", "open-images", "--classes", "Cat", "Dog", "--to", str(to), "--threads", "1"]
    words += ["--annotations-url", settings.annotations_url, "--images-url", settings.images_url]
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, *words], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: any((to / "images/train").glob("*.jpg")), process)
    process.send_signal(signal.SIGINT if os.name == "posix" else signal.CTRL_C_EVENT)
    assert process.wait(timeout=60) == 130
    is_over.set()
    assert process.stderr is not None
    assert "interrupted" in process.stderr.read()
    process.stderr.close()
    there = list((to / "images/train").iterdir())
    assert 0 < len(there) <= 3
    assert all(path.suffix == ".jpg" and not path.name.startswith(".") for path in there)
    server.next_fault = slow
    fetch(server, to, patience)
    assert contents(to) == contents(tmp_path / "whole")
    np.testing.assert_array_equal(load_dataset(to).pixel_counts(), load_dataset(tmp_path / "whole").pixel_counts())


def wait_for(is_so: Any, process: subprocess.Popen[str]) -> None:
    """Wait until something is so, while a process runs."""
    deadline = time.monotonic() + 120
    while not is_so():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
