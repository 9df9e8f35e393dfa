"""Where the arithmetic happens and in which number format."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from easyseg.errors import ConfigError, TrainingError

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h
_NEVER = 2**31 - 1

_LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what torchrun tells the processes it starts

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_REPEATABLE_WORKSPACE = ":4096:8"  # from NVIDIA's documentation of cuBLAS, on reproducibility


_OUT_OF_MEMORY = (
    "DefaultCPUAllocator",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
)
"""Words of errors that are no `OutOfMemoryError`, from torch's and NVIDIA's sources."""


@dataclass(frozen=True, slots=True)
class Compute:
    """A device and the number format of the forward pass.

    Attributes:
        device: where tensors live.
        dtype: what convolutions and matrix products compute in; float32 means no autocast.
    """

    device: torch.device
    dtype: torch.dtype

    @property
    def precision(self) -> str:
        """The number format's short name: "fp32", "bf16" or "fp16"."""
        return {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[self.dtype]

    @property
    def needs_scaler(self) -> bool:
        """Whether losses must be scaled so that small gradients survive: fp16 only."""
        return self.dtype is torch.float16

    def autocast(self) -> AbstractContextManager[None]:
        """Return the context in which a forward pass runs."""
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not torch.float32)

    def __str__(self) -> str:
        return f"{self.device} ({self.precision})"


@dataclass(frozen=True, slots=True)
class ProcessNumbers:
    """Which of the processes that work together this one is, as `torchrun` has it.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
        local_rank: number of this process on its machine, from 0.
        local_size: number of processes on its machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1


def process_numbers() -> ProcessNumbers:
    """Return what the launcher of this process has left in its environment; one process alone where nobody launched it.

    Raises:
        ConfigError: the environment contradicts itself.
    """
    if not all(os.environ.get(name) for name in _LAUNCHED):
        return ProcessNumbers()
    words = {name: os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")}
    words["LOCAL_RANK"] = words["LOCAL_RANK"] or words["RANK"]
    words["LOCAL_WORLD_SIZE"] = words["LOCAL_WORLD_SIZE"] or words["WORLD_SIZE"]
    found = ", ".join(f"{name}={text}" for name, text in words.items())
    if not all(text.isdigit() for text in words.values()):
        raise ConfigError(f"The environment has {found}; whole numbers belong there. Type torchrun, which sets them.")
    numbers = ProcessNumbers(*(int(text) for text in words.values()))
    if numbers.rank >= numbers.size or numbers.local_rank >= numbers.local_size:
        raise ConfigError(f"The environment has {found}; ranks count from 0. Type torchrun, which sets them.")
    return numbers


def resolve_compute(device: str = "auto", precision: str = "auto") -> Compute:
    """Choose the device and the number format.

    Args:
        device: "auto" takes the first CUDA device, else Apple's GPU, else the CPU; or a name torch knows.
        precision: "auto" takes bf16 where the processor computes in it, else fp16 on CUDA, else fp32.

    Raises:
        ConfigError: there is no such device, or it cannot compute in that format.
    """
    chosen = _device(device)
    if precision == "auto":
        return Compute(chosen, _fast_dtype(chosen))
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    if dtype is torch.float16 and chosen.type != "cuda":
        raise ConfigError(
            f"precision='fp16' needs a CUDA device, not {chosen}. Type precision='bf16' or precision='fp32'."
        )
    return Compute(chosen, dtype)


@contextmanager
def repeatable_only(device: torch.device) -> Iterator[None]:
    """Refuse operations that are not repeatable inside the block, and leave all switches as they were.

    Raises:
        TrainingError: there was such an operation.
    """
    strict = torch.are_deterministic_algorithms_enabled()
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    workspace = os.environ.get(_WORKSPACE)
    if device.type == "cuda" and workspace is None:
        os.environ[_WORKSPACE] = _REPEATABLE_WORKSPACE  # without it, torch refuses every matrix product
    torch.use_deterministic_algorithms(True)
    try:
        yield
    except RuntimeError as error:
        if "use_deterministic_algorithms" not in str(error):
            raise
        operation = str(error).split(" does not have ")[0].splitlines()[0]
        raise TrainingError(
            f"deterministic=True: {operation} is not repeatable on {device}. Type deterministic=False or device='cpu'; "
            "another loss or model may do without it."
        ) from error
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=only_warned)
        if workspace is None:
            os.environ.pop(_WORKSPACE, None)


def keep_freed_memory() -> bool:
    """Let the C library keep large blocks that are freed, for the next tensor of that size; tell whether it will.

    By default glibc gives every large block back to the kernel at once and gets it anew, zeroed page by page, in the
    next step. For a network on a CPU that is some 15,000 page faults and several percent of the time of each training
    step. The most memory in use stays what it was; it is only given back later. Other C libraries are left alone.
    """
    try:
        library = ctypes.CDLL("libc.so.6")
    except OSError:
        return False
    if not hasattr(library, "gnu_get_libc_version"):  # other C libraries read these parameters otherwise
        return False
    mallopt = library.mallopt
    return bool(mallopt(_M_MMAP_THRESHOLD, _NEVER) and mallopt(_M_TRIM_THRESHOLD, _NEVER))


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory did not suffice, on whatever device."""
    words = str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(word in words for word in _OUT_OF_MEMORY)


def free_cached_memory(device: torch.device) -> None:
    """Give back what torch keeps of a GPU's memory for later, which lies in pieces of the wrong sizes by now."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def available_memory() -> int:
    """Return how many bytes of main memory can be taken without swapping, at a guess 4 GB where nobody tells."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB")}
        return min(found["MemAvailable"], _container_limit())
    except (OSError, KeyError, ValueError):
        return 4 * 2**30


def processor_count() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _container_limit() -> int:
    """Return the memory a container may still take, or a huge number outside of one."""
    try:
        folder = Path("/sys/fs/cgroup")
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = (folder / "memory.current").read_text(encoding="ascii").strip()
        return int(limit) - int(used)
    except (OSError, ValueError):
        return 2**62


def _device(name: str) -> torch.device:
    numbers = process_numbers()
    if numbers.size > 1:
        return _own_device(name, numbers)
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"device={name!r} cannot be used here: {reason}. Type device='auto' or device='cpu'."
        ) from error
    return device


def _own_device(name: str, numbers: ProcessNumbers) -> torch.device:
    """Return the device of one of several processes: a GPU for each, or the CPU for all."""
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if name not in ("auto", "cuda"):
        raise ConfigError(
            f"device={name!r} would be shared by all {numbers.size} processes. Type device='cuda', which gives each "
            "its own GPU, or device='cpu'."
        )
    count = torch.cuda.device_count()
    if numbers.local_size > count:
        raise ConfigError(missing_gpus(numbers.local_size, count))
    return torch.device("cuda", numbers.local_rank)


def missing_gpus(wanted: int, found: int) -> str:
    """Return the words for a machine that has fewer GPUs than processes."""
    there = {0: "no CUDA device", 1: "one CUDA device"}.get(found, f"{found} CUDA devices")
    fewer = f"Start {found} processes (--devices {found}), or t" if found else "T"
    return f"{wanted} processes on this machine need a GPU each, and it has {there}. {fewer}ype device='cpu'."


def _fast_dtype(device: torch.device) -> torch.dtype:
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu":
        # without these instructions bf16 is emulated and slower than fp32
        features = torch.cpu.get_capabilities()
        return torch.bfloat16 if features.get("avx512_bf16") or features.get("amx_bf16") else torch.float32
    return torch.float32


def memory_in_words(device: str) -> str:
    """Return the most memory used so far, such as "2.1 GB", of the GPU or else of this process; "" where unknown."""
    most = most_memory_used(torch.device(device))
    return f"{most / 1e9:.1f} GB" if most else ""


def most_memory_used(device: torch.device) -> int:
    """Return the most bytes used so far, of the GPU or else of this process; 0 where unknown."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        # of this program alone: what `getrusage` tells begins with what the process had that started it
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        import resource  # not on Windows
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def free_memory(device: torch.device) -> int:
    """Return how many bytes a training may take on a device."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else available_memory()
