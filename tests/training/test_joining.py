"""How processes meet, or say in words why they do not."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
import torch
from torch.distributed import TCPStore

from easyseg.errors import ConfigError, EasySegError, TrainingError
from easyseg.training import joining
from easyseg.training.distributed import ALONE, World

CPU = torch.device("cpu")
Launched = Callable[..., None]


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Launched:
    """Return a function that puts this process into a world of two, which wait a moment only."""
    monkeypatch.setattr(joining._Meeting, "has_parted", False)
    monkeypatch.setattr(joining._Meeting, "store", None)
    monkeypatch.setattr(joining, "JOIN_SECONDS", 1.0)

    def launch(rank: int, port: int) -> None:
        values = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
        for name, value in (values | {"MASTER_ADDR": "localhost"}).items():
            monkeypatch.setenv(name, str(value))

    return launch


def free_port() -> int:
    """Return a port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


def test_process_that_nobody_launched_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process group is made."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joining.joined_world(CPU) as world:
        assert world is ALONE
    assert not torch.distributed.is_initialized()


def test_missing_process_is_named(launched: Launched) -> None:
    """The first process waits for the second one, but not for ever."""
    launched(0, 0)
    with pytest.raises(TrainingError, match=r"Of 2 processes, only 1 came within 1 s"), joining.joined_world(CPU):
        pass


def test_missing_process_is_named_where_a_launcher_keeps_the_notes(
    launched: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under torchrun everybody reaches the store, and somebody may be missing all the same."""
    store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    launched(1, store.port)
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    with pytest.raises(TrainingError, match=r"Of 2 processes, 0 did not come within 1 s"), joining.joined_world(CPU):
        pass


def test_first_process_out_of_reach(launched: Launched) -> None:
    """The second process says where it looked."""
    port = free_port()
    launched(1, port)
    with pytest.raises(TrainingError, match=f"Process 1 of 2 .* localhost:{port}"), joining.joined_world(CPU):
        pass


def test_taken_port_is_told(launched: Launched) -> None:
    """Another program has it."""
    with socket.socket(socket.AF_INET6) as other:
        other.bind(("::", 0))
        other.listen()
        launched(0, other.getsockname()[1])
        with pytest.raises(ConfigError, match=r"is taken .* --standalone"), joining.joined_world(CPU):
            pass


def test_device_without_process_groups_is_refused(launched: Launched) -> None:
    """Apple's GPU has none."""
    launched(0, 0)
    with pytest.raises(ConfigError, match="'mps'"), joining.joined_world(torch.device("mps")):
        pass


def test_processes_that_parted_do_not_meet_again(launched: Launched) -> None:
    """A second training after an error would wait for processes that are gone."""
    launched(0, 0)
    joining.part()
    with pytest.raises(TrainingError, match="parted"), joining.joined_world(CPU):
        pass


class Notes:
    """Stands in for the store: what one process leaves, another finds."""

    def __init__(self, words: str = "") -> None:
        self.words = words
        self.errors = 0

    def add(self, key: str, amount: int) -> int:
        self.errors += amount
        return self.errors

    def set(self, key: str, text: str) -> None:
        self.words = text

    def get(self, key: str) -> bytes:
        return self.words.encode()

    def wait(self, keys: list[str], timeout: object) -> None:
        if not self.words:
            raise RuntimeError("wait timeout")


class Gone:
    """Stands in for a store whose process is gone."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        def lost(*_: object) -> None:
            raise RuntimeError("Connection reset by peer")

        return lost


LOST = RuntimeError("[gloo/transport/tcp/pair.cc:545] Read error: Connection reset by peer")


def test_first_error_is_told_and_the_next_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same mistake, found by each process, is printed by one."""
    notes = Notes()
    monkeypatch.setattr(joining._Meeting, "store", notes)
    first, second = ConfigError("no"), ConfigError("no")
    assert joining._told(first, World(1, 2)) is first
    assert joining._told(second, World(0, 2)) is second
    assert (first.is_told, second.is_told) == (False, True)
    assert notes.words == "process 1: no"


@pytest.mark.parametrize(
    ("store", "words", "told"),
    [(Notes("process 1: no"), "has ended: process 1: no", True), (Notes(), "gone without a word", False)],
)
def test_lost_process_is_told(monkeypatch: pytest.MonkeyPatch, store: Notes, words: str, told: bool) -> None:
    """With its own last words where it left any."""
    monkeypatch.setattr(joining._Meeting, "store", store)
    error = joining._told(LOST, World(0, 2))
    assert isinstance(error, TrainingError)
    assert words in str(error)
    assert error.is_told is told


@pytest.mark.parametrize("store", [Gone(), None])
def test_lost_store_hides_no_error(monkeypatch: pytest.MonkeyPatch, store: Gone | None) -> None:
    """What happened here is told all the same."""
    monkeypatch.setattr(joining._Meeting, "store", store)
    error = EasySegError("no")
    assert joining._told(error, World(0, 2)) is error
    assert not error.is_told
    assert "gone without a word" in str(joining._told(LOST, World(0, 2)))


def test_other_errors_and_signals_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug keeps its type; Ctrl-C is no error to tell."""
    monkeypatch.setattr(joining._Meeting, "store", notes := Notes())
    error, stop = ValueError("bug"), KeyboardInterrupt()
    assert joining._told(stop, World(0, 2)) is stop
    assert not notes.words
    assert joining._told(error, World(0, 2)) is error
    assert notes.words == "process 0: bug"
