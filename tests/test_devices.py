"""Choosing the device and the number format, and what a machine tells about itself."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from easyseg import devices
from easyseg.devices import (
    Compute,
    available_memory,
    is_out_of_memory,
    processor_count,
    repeatable_only,
    resolve_compute,
)
from easyseg.errors import ConfigError, TrainingError


@pytest.mark.parametrize(
    ("precision", "dtype", "scaled"),
    [("fp32", torch.float32, False), ("bf16", torch.bfloat16, False)],
)
def test_asked_for_precision_is_what_products_are_computed_in(precision: str, dtype: torch.dtype, scaled: bool) -> None:
    """Inside `autocast`, a matrix product comes out in the number format asked for."""
    compute = resolve_compute("cpu", precision)
    with compute.autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype is dtype
    assert compute.precision == precision
    assert compute.needs_scaler is scaled
    assert str(compute) == f"cpu ({precision})"


@pytest.mark.parametrize(
    ("features", "expected"),
    [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({"avx2": True, "avx512_bf16": False}, "fp32")],
)
def test_processor_computes_in_bf16_only_where_it_has_it(
    monkeypatch: pytest.MonkeyPatch, features: dict[str, bool], expected: str
) -> None:
    """Without the instructions, bf16 would be emulated and slower than fp32."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    assert resolve_compute("cpu").precision == expected


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bf16"), (False, "fp16")])
def test_first_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch, has_bf16: bool, expected: str) -> None:
    """CUDA is preferred to all else, and there bf16 to fp16."""
    asked: dict[str, Any] = {}

    def is_supported(including_emulation: bool = True) -> bool:
        asked["emulation"] = including_emulation
        return has_bf16

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    compute = resolve_compute()
    assert (str(compute.device), compute.precision) == ("cuda:0", expected)
    assert asked == {"emulation": False}
    assert compute.needs_scaler is (expected == "fp16")


def test_apple_gpu_comes_next_and_computes_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without CUDA, Apple's GPU is taken."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert str(resolve_compute()) == "mps (fp32)"


def test_processor_is_the_last_resort(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any GPU, the CPU is taken."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_compute(precision="fp32") == Compute(torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("name", ["gpu", "cpu:x", "cuda:77", "xla"])
def test_device_that_cannot_be_used_is_refused(name: str) -> None:
    """The error repeats the name, says why in one line, and what to type."""
    with pytest.raises(ConfigError, match=r"cannot be used here: .*Type device='auto' or device='cpu'") as caught:
        resolve_compute(name)
    assert f"device={name!r}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_fp16_needs_a_gpu() -> None:
    """On a CPU, fp16 is refused with two formats that work."""
    with pytest.raises(ConfigError, match=r"precision='fp16' needs a CUDA device, not cpu. Type precision='bf16'"):
        resolve_compute("cpu", "fp16")


def test_memory_and_processors_are_plausible() -> None:
    """This machine has some of both."""
    assert 2**20 < available_memory() < 2**50
    assert 1 <= processor_count() <= 4096


def test_container_limit_cuts_the_memory_down(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where a container may take less than the machine has, that counts."""
    texts = {"memory.max": "3000\n", "memory.current": "1000\n", "meminfo": "MemAvailable: 900 kB\n"}
    read = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path, **options: texts.get(path.name) or read(path, **options), raising=True
    )
    assert available_memory() == 2000
    texts["memory.max"] = "max\n"
    assert available_memory() == 900 * 1024


def test_memory_is_guessed_where_nobody_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """On systems without /proc, four gigabytes are assumed."""

    def missing(path: Path, **_: object) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", missing)
    assert available_memory() == 4 * 2**30
    assert devices._container_limit() == 2**62


def test_processors_are_counted_where_no_affinity_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere than on Linux, all processors count, and one where even that is unknown."""
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    assert processor_count() == 6
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert processor_count() == 1


def test_freed_memory_is_kept_where_glibc_is():
    """On glibc a freed large block is used again instead of being faulted in anew."""
    code = (
        "import platform, resource, numpy as np\n"
        "from easyseg.devices import keep_freed_memory\n"
        "kept = keep_freed_memory()\n"
        "assert kept == (platform.libc_ver()[0] == 'glibc'), kept\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    for _ in range(5):\n"
        "        np.ones(2**23)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "faults()\n"
        "assert not kept or faults() < 2**23 * 8 / 4096, 'every block was faulted in again'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("before", [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("fails", [False, True])
def test_switches_for_repeatable_operations_are_put_back(
    monkeypatch: pytest.MonkeyPatch, before: tuple[bool, bool], fails: bool
) -> None:
    """Strict inside, whatever was set; outside as before, "warn only" and the environment included."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])
    try:
        with pytest.raises(KeyError) if fails else nullcontext(), repeatable_only(torch.device("cuda")):
            assert torch.are_deterministic_algorithms_enabled()
            assert not torch.is_deterministic_algorithms_warn_only_enabled()
            assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
            if fails:
                raise KeyError
        after = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
        assert after == before
        assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    finally:
        torch.use_deterministic_algorithms(False)


def test_workspace_of_the_user_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that is there is kept, and a CPU needs none."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with repeatable_only(torch.device("cuda")):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    with repeatable_only(torch.device("cpu")):
        assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_operation_that_is_not_repeatable_is_named() -> None:
    """With the setting that asked for it; other errors stay what they are."""
    torch_says = (
        "cumsum_cuda_kernel does not have a deterministic implementation, but you set "
        "'torch.use_deterministic_algorithms(True)'. You can turn off determinism just for this operation."
    )
    with (
        pytest.raises(TrainingError, match=r"deterministic=True: cumsum_cuda_kernel is not repeatable on cuda. Type"),
        repeatable_only(torch.device("cuda")),
    ):
        raise RuntimeError(torch_says)
    with pytest.raises(RuntimeError, match=r"^shapes differ$"), repeatable_only(torch.device("cpu")):
        raise RuntimeError("shapes differ")


def launched(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """Put this process into a world as torchrun does."""
    usual = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    for name, value in {**usual, "MASTER_ADDR": "localhost", "MASTER_PORT": "1", **values}.items():
        monkeypatch.setenv(name, value)


def test_process_numbers_are_the_launchers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a launcher, this is the only process; without local numbers, there is one machine."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert devices.process_numbers() == devices.ProcessNumbers()
    monkeypatch.setenv("WORLD_SIZE", "4")  # a scheduler's, say
    assert devices.process_numbers().size == 1
    launched(monkeypatch, RANK="3", WORLD_SIZE="4", LOCAL_RANK="1", LOCAL_WORLD_SIZE="2")
    assert devices.process_numbers() == devices.ProcessNumbers(3, 4, 1, 2)
    launched(monkeypatch, LOCAL_RANK="", LOCAL_WORLD_SIZE="")
    assert devices.process_numbers() == devices.ProcessNumbers(1, 2, 1, 2)


@pytest.mark.parametrize("values", [{"RANK": "2"}, {"LOCAL_RANK": "2"}, {"WORLD_SIZE": "two"}])
def test_contradicting_numbers_are_refused(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    """A rank that the world does not have, or no number at all."""
    launched(monkeypatch, **values)
    with pytest.raises(ConfigError, match=next(iter(values))):
        devices.process_numbers()


@pytest.mark.parametrize(("name", "expected"), [("auto", "cuda:1"), ("cuda", "cuda:1"), ("cpu", "cpu")])
def test_each_process_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch, name: str, expected: str) -> None:
    """The one of its number on the machine."""
    launched(monkeypatch)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert str(resolve_compute(name, "fp32").device) == expected


def test_processes_without_gpus_share_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody asked for GPUs."""
    launched(monkeypatch)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert str(resolve_compute("auto", "fp32").device) == "cpu"


@pytest.mark.parametrize(("name", "words"), [("cuda:0", "would be shared by all 2"), ("cuda", "has one CUDA device")])
def test_no_two_processes_share_a_gpu(monkeypatch: pytest.MonkeyPatch, name: str, words: str) -> None:
    """By name, or because there are too few."""
    launched(monkeypatch)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match=words):
        resolve_compute(name, "fp32")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), False),
    ],
    ids=str,
)
def test_errors_that_mean_too_little_memory(error: Exception, expected: bool) -> None:
    """In the words of torch and of the libraries below it; other faults of a GPU are not met by smaller batches."""
    assert is_out_of_memory(error) is expected
