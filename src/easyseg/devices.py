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

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_REPEATABLE_WORKSPACE = ":4096:8"  # from NVIDIA's documentation of cuBLAS, on reproducibility


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
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "DefaultCPUAllocator" in words


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
        import resource  # not on Windows
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def free_memory(device: torch.device) -> int:
    """Return how many bytes a training may take on a device."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else available_memory()
