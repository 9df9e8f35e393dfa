"""Everything that changes while a model trains, in one place, so that a checkpoint can hold all of it."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from easyseg.devices import Compute
from easyseg.errors import CheckpointError, TrainingError
from easyseg.training.callbacks import BestTracker, Callback
from easyseg.training.distributed import ALONE, World
from easyseg.training.finiteness import FinitenessGuard, SkippedStep
from easyseg.training.optim import MovingAverage
from easyseg.training.progress import Position
from easyseg.training.timing import LossWindow, StepTimer
from easyseg.training.trainable import TrainableModel
from easyseg.training.updates import WeightUpdate

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]


class TrainingRun:
    """A model in training.

    Args:
        model: trained in place.
        optimizer: its groups carry their highest learning rate.
        compute: device and number format.
        best: decides whether an evaluation is the best so far.
        average: moving average of the weights, or None.
        observers: told what happens; any of them may ask to stop.
        say: is told, in words, what a person should know.
        report_skipped: is given all steps that moved nothing, whenever there is a new one.

    Attributes:
        world: the processes that train the model together; set before training begins.
        position: where the run is.
        recent: the loss since the last evaluation.
        losses: of the last batches since then.
        timer: parts the time into waiting for data and computing.
        update: moves the weights.
        guard: keeps them finite.
        started_at: `time.perf_counter()` at which this session began.
    """

    def __init__(
        self,
        model: TrainableModel,
        optimizer: torch.optim.Optimizer,
        *,
        compute: Compute,
        best: BestTracker,
        average: MovingAverage | None = None,
        observers: Sequence[Callback] = (),
        say: Callable[[str], None] = lambda text: None,
        report_skipped: Callable[[Sequence[SkippedStep]], None] = lambda skipped: None,
    ) -> None:
        self.model = model
        self.world: World = ALONE
        self.optimizer = optimizer
        self.best = best
        self.average = average
        self.observers = observers
        self.position = Position()
        self.recent = RecentLoss(compute.device)
        self.losses = LossWindow(compute.device)
        self.timer = StepTimer()
        self.started_at = time.perf_counter()
        self.guard = FinitenessGuard(model.buffers(), optimizer, device=compute.device, report=report_skipped)
        self._scaler = torch.amp.GradScaler(compute.device.type, enabled=compute.needs_scaler)
        self._device = compute.device
        self.update = WeightUpdate(
            model,
            optimizer,
            scaler=self._scaler,
            guard=self.guard,
            after_step=(lambda: average.update(model)) if average is not None else (lambda: None),
            say=say,
        )

    def state(self) -> tuple[dict[str, Any], dict[str, Arrays]]:
        """Return all that a checkpoint must hold: plain values, and named groups of arrays."""
        self.guard.settle()
        optimizer_numbers, optimizer_tensors = _optimizer_state(self.model, self.optimizer)
        seconds = self.position.seconds + time.perf_counter() - self.started_at
        numbers = {
            "position": self.position.state(seconds=seconds),
            "update": self.update.state(),
            "best": {"epoch": self.best.epoch, "value": self.best.value},
            "recent_loss": self.recent.state(),
            "guard": self.guard.state(),
            "scaler": self._scaler.state_dict(),
            "average_updates": self.average.updates if self.average is not None else 0,
            "optimizer": optimizer_numbers,
            "learning_rates": [group["lr"] for group in self.optimizer.param_groups],
            "observers": [[type(observer).__name__, observer.state()] for observer in self.observers],
        }
        gradients = {name: weight.grad for name, weight in self.model.named_parameters() if weight.grad is not None}
        tensors: dict[str, Mapping[str, Tensor]] = {
            "model": self.model.state_dict(),
            "optimizer": optimizer_tensors,
            "gradients": gradients,
            "statistics": self.guard.kept_statistics(),
            "random": self._random_state(),
            "average": self.average.state_dict() if self.average is not None else {},
        }
        return numbers, {group: to_arrays(values) for group, values in tensors.items() if values}

    def most_bytes(self, *, accumulates: bool) -> int:
        """Return how large a checkpoint can become: weights, the best ones, and what belongs to each weight.

        Args:
            accumulates: gradients may have to be kept, too.
        """
        weights = sum(weight.nbytes for _, weight in self.model.named_parameters())
        held = sum(value.nbytes for value in self.model.state_dict().values())
        of_the_optimizer = 2 * weights  # two moments in Adam and AdamW, the momentum in SGD
        return held * (3 if self.average is not None else 2) + of_the_optimizer + weights * accumulates

    def restore(self, numbers: Mapping[str, Any], arrays: Mapping[str, Arrays]) -> None:
        """Go on from what `state` returned.

        Raises:
            CheckpointError: it is not of this model, or of other observers.
        """
        if self.world.is_first:  # the others observe nothing
            _refuse_other_observers([name for name, _ in numbers["observers"]], self.observers)
        load_arrays(self.model, arrays["model"])
        _restore_optimizer(self.model, self.optimizer, numbers["optimizer"], arrays.get("optimizer", {}))
        for group, rate in zip(self.optimizer.param_groups, numbers["learning_rates"], strict=True):
            group["lr"] = rate  # told by an evaluation that is made up for before the next batch sets it anew
        gradients = arrays.get("gradients", {})
        for name, weight in self.model.named_parameters():
            weight.grad = torch.empty_like(weight).copy_(_tensor(gradients[name])) if name in gradients else None
        self.update.restore(numbers["update"])
        if self.average is not None:
            self.average.restore(from_arrays(arrays["average"]), updates=int(numbers["average_updates"]))
        self.position.restore(numbers["position"])
        self.best.epoch, self.best.value = numbers["best"]["epoch"], numbers["best"]["value"]
        self.recent.restore(numbers["recent_loss"])
        if numbers["recent_loss"]["count"]:
            self.losses.begin_late()
        self.guard.restore(numbers["guard"], from_arrays(arrays.get("statistics", {})))
        if numbers["scaler"] and self._scaler.is_enabled():  # a run may go on in another precision
            self._scaler.load_state_dict(numbers["scaler"])
        for observer, (name, state) in zip(self.observers, numbers["observers"], strict=True):
            try:
                observer.restore(state)
            except (LookupError, TypeError, ValueError) as error:
                raise CheckpointError(
                    f"The callback {name} cannot take up the state in the checkpoint ({error!r}). Pass the one that "
                    "the interrupted run had, or type another run_dir to start anew."
                ) from error
        self._restore_random_state(arrays["random"])  # last: nothing after it may draw

    def _random_state(self) -> dict[str, Tensor]:
        """Return the state of every process's random numbers; this is for all processes together."""
        own = {"cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            own["cuda"] = torch.cuda.get_rng_state(self._device)
        states = {name: self.world.stacked(state[None]) for name, state in own.items()}
        return {_of_rank(name, rank): state for name, all_of in states.items() for rank, state in enumerate(all_of)}

    def _restore_random_state(self, arrays: Arrays) -> None:
        # a process that the interrupted run did not have keeps the numbers that follow from the seed and its rank
        if (name := _of_rank("cpu", self.world.rank)) in arrays:
            torch.set_rng_state(_tensor(arrays[name]))
        name = _of_rank("cuda", self.world.rank)
        if self._device.type == "cuda" and name in arrays:
            torch.cuda.set_rng_state(_tensor(arrays[name]), self._device)


class RecentLoss:
    """The mean loss since the last evaluation, added up on the device so that nothing waits for it."""

    def __init__(self, device: torch.device) -> None:
        self.last = torch.zeros((), device=device)
        self._sum = torch.zeros((), device=device, dtype=torch.float32)
        self._count = torch.zeros((), device=device, dtype=torch.int64)

    def add(self, loss: Tensor) -> None:
        """Take a batch's loss into the mean; one that is no finite number belongs to a step that is skipped."""
        finite = loss.isfinite()
        self.last = loss
        self._sum += torch.where(finite, loss, torch.zeros_like(loss))
        self._count += finite

    def mean(self) -> float:
        """Return the mean and start anew.

        Raises:
            TrainingError: no loss was a finite number.
        """
        count = int(self._count)
        if not count:
            raise TrainingError(
                "The loss has not been a finite number since the last evaluation: training has diverged. Type a "
                "learning_rate ten times smaller; if that does not help, precision='fp32'."
            )
        mean = float(self._sum) / count
        self._sum.zero_()
        self._count.zero_()
        if not math.isfinite(mean):
            raise TrainingError(f"The losses add up to {mean}: training has diverged. Type a smaller learning_rate.")
        return mean

    def state(self) -> dict[str, float]:
        """Return what a checkpoint keeps; a float32 sum is exact as a Python number."""
        return {"sum": float(self._sum), "count": int(self._count), "last": float(self.last)}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from what `state` returned."""
        self._sum.fill_(state["sum"])
        self._count.fill_(state["count"])
        self.last = torch.full_like(self._sum, state["last"])


def to_arrays(tensors: Mapping[str, Tensor]) -> Arrays:
    """Return tensors as contiguous arrays on the host; they may share the tensors' memory, so write them at once."""
    return {name: tensor.detach().to("cpu").contiguous().numpy() for name, tensor in tensors.items()}


def from_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Tensor]:
    """Return tensors of their own, on the CPU, with what `to_arrays` returned."""
    return {name: _tensor(array) for name, array in arrays.items()}


def load_arrays(model: TrainableModel, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Give a model the weights that `to_arrays` took from it.

    Raises:
        CheckpointError: they are of another model.
    """
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(array.shape) for name, array in arrays.items()}
    if found != expected:
        odd = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise CheckpointError(
            f"The checkpoint is of another model: {len(odd)} tensors differ, such as {odd[0]!r}. "
            "Type resume=False and another run_dir."
        )
    model.load_state_dict(from_arrays(arrays))


def _refuse_other_observers(then: Sequence[str], now: Sequence[Callback]) -> None:
    names = [type(observer).__name__ for observer in now]
    if names == list(then):
        return
    gone, new = Counter(then) - Counter(names), Counter(names) - Counter(then)
    found = [f"{', '.join(sorted(gone.elements()))} took part then"] if gone else []
    found += [f"{', '.join(sorted(new.elements()))} does now"] if new else []
    raise CheckpointError(
        "The interrupted run had other callbacks or loggers, or had them in another order"
        f"{': ' if found else ''}{', '.join(found)}. Pass the same ones, or type another run_dir to start anew."
    )


def _optimizer_state(
    model: TrainableModel, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, dict[str, Any]], dict[str, Tensor]]:
    numbers: dict[str, dict[str, Any]] = {}
    tensors: dict[str, Tensor] = {}
    for name, weight in model.named_parameters():
        for key, value in optimizer.state.get(weight, {}).items():
            if isinstance(value, Tensor):
                tensors[f"{name}/{key}"] = value
            else:
                numbers.setdefault(name, {})[key] = value
    return numbers, tensors


def _restore_optimizer(
    model: TrainableModel,
    optimizer: torch.optim.Optimizer,
    numbers: Mapping[str, Mapping[str, Any]],
    arrays: Mapping[str, npt.NDArray[Any]],
) -> None:
    weights = dict(model.named_parameters())
    optimizer.state.clear()
    for name, values in numbers.items():
        optimizer.state[weights[name]].update(values)
    for name_and_key, array in arrays.items():
        name, _, key = name_and_key.rpartition("/")
        weight = weights[name]
        value = _tensor(array)
        if value.shape == weight.shape:
            value = torch.empty_like(weight, requires_grad=False).copy_(value)  # in the same memory format
        elif optimizer.defaults.get("fused"):
            value = value.to(weight.device)
        optimizer.state[weight][key] = value


def _of_rank(name: str, rank: int) -> str:
    return f"{name}/{rank}" if rank else name  # the first one's as in a training on one device


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(array))  # a copy: what was read from a file must not be written to
