"""What two processes compute together and each of them alone; a module of the tests, and the program of the second one.

`python two_processes.py` takes part in the world that its environment describes, and prints what it found as JSON.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from easyseg.data.batches.cache import shared_bytes
from easyseg.data.batches.machine_memory import found_memory, offered_memory
from easyseg.data.batches.sampling import Part
from easyseg.devices import Compute
from easyseg.metrics import TruthObjects
from easyseg.prediction.object_scoring import AnnotatedObjects, ObjectEvaluation, ScoredObjects
from easyseg.prediction.scoring import AnnotatedImages, Evaluation
from easyseg.preprocessing import Preprocessing
from easyseg.structures import Batch, ClassMap, Instances, RawObjects, Task
from easyseg.training import joining
from easyseg.training.callbacks import BestTracker, Callback, EpochReport, StepReport, StopRequest
from easyseg.training.distributed import ALONE, World
from easyseg.training.engine import train
from easyseg.training.losses import build_loss
from easyseg.training.optim import MovingAverage
from easyseg.training.progress import LoopPlan
from easyseg.training.run import TrainingRun

SIZE = 6
"""Height and width of the images here, in pixels."""

COMPUTE = Compute(torch.device("cpu"), torch.float32)

LOSSES: tuple[tuple[Task, str], ...] = (
    *(("multiclass", name) for name in ("ce", "dice", "jaccard", "tversky", "focal", "lovasz", "ce+dice")),
    *(("binary", name) for name in ("bce", "dice", "focal", "lovasz")),
    *(("multilabel", name) for name in ("bce", "dice", "lovasz")),
)


def squared_error(logits: Tensor, targets: Tensor) -> Tensor:
    """A user's own loss, which is NaN for no images."""
    return (logits.mean(1) - targets.clamp(max=2)).square().mean()


def everything(world: World) -> dict[str, Any]:
    """Do all of it, in the order in which the other process does it, and return plain values."""
    return {
        "verbs": verbs(world),
        "losses": {f"{task} {loss}": agreement(world, task, loss) for task, loss in LOSSES},
        "weighted": agreement(world, "multiclass", "ce+dice", class_weights=[0.5, 2.0, 1.0]),
        "own loss": agreement(world, "multiclass", squared_error),
        "training": {f"{count}": trained(world, count) for count in range(1, 10)},
        "accumulated": trained(world, 9, accumulate=2),
        "averaged": trained(world, 6, averages=True),
        "normalised": statistics_after(world),
        "frozen": frozen_part(world),
        "stopped": stopped(world),
        "skipped": skipped(world),
        "memory": memory(world),
        "evaluation": {f"{count}": evaluation(world, count) for count in range(1, 8)},
        "detection": {f"{count}": detection(world, count) for count in (1, 2, 5)},
    }


def verbs(world: World) -> dict[str, Any]:
    """Ask a world for everything it can do."""
    rank = world.rank
    spread = [torch.full((2, 2), rank + 1.0), torch.tensor(rank + 5), torch.full((3,), rank + 1.0)]
    world.spread(spread)
    own = torch.full((2, 1 + rank), float(rank + 1), requires_grad=True)
    joined = world.joined(own)
    (joined * torch.arange(1.0, 4.0)).sum().backward()
    part = torch.tensor([1.0 + rank], requires_grad=True)
    total = world.total(part)
    (total**2).sum().backward()
    order: list[int] = []
    with world.one_before_the_others():
        order = world.of_each(rank) if world.size == 1 else [rank]
    return {
        "first": world.is_first,
        "highest": world.highest(rank, 1 - rank, 7),
        "added": world.added(torch.tensor([2**53 + rank, rank])).tolist(),
        "stacked": world.stacked(torch.full((rank, 2), 9)).tolist(),
        "from first": world.from_first({"text": "ä", "number": rank + 0.1}),
        "of each": world.of_each([rank, None, "x" * rank]),
        "spread": [tensor.tolist() for tensor in spread],
        "joined": joined.tolist(),
        "gradient of joined": own.grad.tolist() if own.grad is not None else None,
        "total": total.item(),
        "gradient of total": part.grad.item() if part.grad is not None else None,
        "order": order,
    }


def logits_and_targets(task: Task, count: int) -> tuple[Tensor, Tensor]:
    """Return noise for images, the first of them all void: (N, C, H, W) float64 and targets."""
    random = np.random.default_rng((3, count))
    channels = 1 if task == "binary" else 3
    shape = (count, 3, SIZE, SIZE) if task == "multilabel" else (count, SIZE, SIZE)
    targets = random.integers(0, 3 if task == "multiclass" else 2, shape).astype(np.uint8)
    targets[0] = 255
    targets[..., :2] = 255
    return torch.from_numpy(random.normal(size=(count, channels, SIZE, SIZE))), torch.from_numpy(targets)


def agreement(world: World, task: Task, loss: Any, **settings: Any) -> list[float]:
    """Return how far loss and gradient of two processes are from those of one, at the most, for 1 to 5 images."""
    differences = []
    for count in range(1, 6):
        logits, targets = logits_and_targets(task, count)
        kind = {"task": task, "num_classes": logits.shape[1], **settings}
        whole = logits.clone().requires_grad_()
        expected = torch.stack(list(build_loss(loss, **kind)(whole, targets).values())).sum()
        expected.backward()
        places = list(Part(world.rank, world.size).of(count))
        own = logits[places].requires_grad_()
        found = torch.stack(list(build_loss(loss, world=world, **kind)(own, targets[places]).values())).sum()
        found.backward()
        assert whole.grad is not None
        assert own.grad is not None
        differences += [abs(found.item() - expected.item()), *(own.grad - whole.grad[places]).abs().flatten().tolist()]
    return [max(differences), len(differences)]


class Network(nn.Module):
    """Two layers, one that takes no part, and what the model protocol asks for besides."""

    def __init__(self, world: World, *, normalised: bool = False) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4) if normalised else nn.GroupNorm(2, 4)
        self.head = nn.Conv2d(4, 3, 1)
        self.unused = nn.Linear(2, 2)
        self.broken_image: int | None = None
        self.criterion = build_loss("ce+dice", task="multiclass", num_classes=3, world=world)

    def infer(self, images: Tensor) -> Tensor:
        features = self.norm(self.encoder(images.to(self.head.weight.dtype) / 255)).relu()
        return torch.as_tensor(self.head(features))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        counted = slice(None) if batch.indices else slice(0)
        logits = self.infer(batch.images)[counted]
        if self.broken_image in batch.indices:
            logits = logits * torch.nan
        return self.criterion(logits, batch.targets[counted])

    def parts(self) -> dict[str, nn.Module]:
        return {"encoder[0]": nn.ModuleList([self.encoder, self.norm]), "head": self.head}


class Shared:
    """Batches of four random images, of which each process gets its part."""

    def __init__(self, count: int, world: World) -> None:
        random = np.random.default_rng((4, count))
        self.images = torch.from_numpy(random.integers(0, 256, (count, 3, SIZE, SIZE)).astype(np.uint8))
        self.targets = torch.from_numpy(random.integers(0, 3, (count, SIZE, SIZE)).astype(np.uint8))
        self.world = world

    def __len__(self) -> int:
        return -(-len(self.images) // 4)

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Batch]:
        for index in range(start, len(self)):
            whole = tuple(range(index * 4, min(index * 4 + 4, len(self.images))))
            own = tuple(whole[place] for place in Part(self.world.rank, self.world.size).of(len(whole)))
            held = list(own or whole[:1])
            yield Batch(self.images[held], self.targets[held], own, whole if self.world.size > 1 else ())


class Losses(Callback):
    """Writes down the losses; asks to stop, where it is told when."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.found: list[float] = []
        self.images: list[int] = []
        self.stop_after = stop_after

    def batch_ended(self, report: StepReport) -> None:
        self.found.append(float(report.loss))
        self.images.append(report.images)

    def epoch_ended(self, report: EpochReport) -> StopRequest | None:
        return StopRequest("enough") if self.stop_after == report.step else None


def run_of(
    world: World, count: int, *observers: Callback, normalised: bool = False, averages: bool = False, **plan: Any
) -> tuple[TrainingRun, str]:
    """Train a small network for three epochs in float64, and return the run and why it ended."""
    torch.manual_seed(0)
    network = Network(world, normalised=normalised).double()
    network.broken_image = plan.pop("broken_image", None)
    for name in plan.pop("frozen", ()):
        network.get_parameter(name).requires_grad_(False)
    groups = [{"params": list(network.parameters()), "lr": 0.01, "max_learning_rate": 0.01}]
    run = TrainingRun(
        network,
        torch.optim.AdamW(groups),
        compute=COMPUTE,
        best=BestTracker("mean_iou"),
        average=MovingAverage(network, 0.5) if averages else None,
        observers=observers,
    )
    run.world = world
    run.started_at += plan.pop("late", 0.0)
    batches = Shared(count, world)
    whole = {"epochs": 3, "clip_gradients": 1.0, **plan}
    loop = LoopPlan(
        COMPUTE,
        steps_per_epoch=len(batches),
        evaluate_every=len(batches),
        learning_rate_factor=lambda progress, epochs_done: 1 - 0.5 * progress,
        **whole,
    )
    return run, train(run, batches, plan=loop, evaluate=lambda: {"mean_iou": 0.5}).reason


def weights(run: TrainingRun) -> Tensor:
    """Return all weights and statistics, and their moving average, as one vector."""
    averaged = run.average.state_dict().values() if run.average is not None else ()
    return torch.cat([value.double().flatten() for value in (*run.model.state_dict().values(), *averaged)])


def trained(world: World, count: int, **settings: Any) -> dict[str, Any]:
    """Return how far a training by two processes is from the same by one, and whether both end with the same bits."""
    expected, found = Losses(), Losses()
    reference, _ = run_of(ALONE, count, expected, **settings)
    shared, _ = run_of(world, count, found, **settings)
    first = weights(shared)
    world.spread([first])
    return {
        "loss": max(abs(a - b) for a, b in zip(expected.found, found.found, strict=True)),
        "weights": (weights(shared) - weights(reference)).abs().max().item(),
        "same": torch.equal(first, weights(shared)),
        "images": found.images == expected.images,
        "steps": len(found.found),
    }


def statistics_after(world: World) -> dict[str, bool]:
    """Return whether both processes have the same statistics after batches that each saw other images of."""
    run, _ = run_of(world, 9, normalised=True, averages=True)
    own = weights(run)
    first = own.clone()
    world.spread([first])
    return {"same": torch.equal(first, own), "finite": bool(own.isfinite().all())}


def frozen_part(world: World) -> dict[str, Any]:
    """Return what a training leaves alone: parameters that do not learn, and those that take no part."""
    torch.manual_seed(0)
    before = Network(ALONE).double().state_dict()
    run, _ = run_of(world, 6, frozen=("encoder.weight", "encoder.bias"))
    after = run.model.state_dict()
    return {name: torch.equal(before[name], after[name]) for name in ("encoder.weight", "unused.weight", "head.weight")}


def stopped(world: World) -> dict[str, Any]:
    """Let an observer of the first process alone ask to stop, and then its clock."""
    observer = Losses(stop_after=3) if world.is_first else Losses()
    run, reason = run_of(world, 9, observer)
    timed, _ = run_of(world, 9, time_budget=0.05, epochs=1, late=0.0 if world.is_first else 1e9)
    steps = world.of_each(timed.position.step)
    return {"reason": reason, "steps": run.position.step, "timed together": len(set(steps)) == 1 and steps[0] > 0}


def skipped(world: World) -> dict[str, Any]:
    """Train where one image, which only the second process sees, breaks the loss."""
    run, _ = run_of(world, 9, normalised=True, averages=True, broken_image=7)
    first = weights(run)
    world.spread([first])
    same = torch.equal(first, weights(run)) and bool(first.isfinite().all())
    return {"images": [step.images for step in run.guard.skipped], "same": same}


def memory(world: World) -> dict[str, Any]:
    """Share memory with a process that was not forked from this one."""
    if world.is_first:
        with offered_memory(100) as (bytes_here, address):
            world.of_each(address)
            world.barrier()
    else:
        bytes_here = found_memory(100, world.of_each("")[0])
        world.barrier()
    bytes_here[world.rank] = world.rank + 1
    world.barrier()
    return {"seen": bytes_here[:3].tolist(), "length": len(bytes_here), "own": shared_bytes(3).tolist()}


def evaluation(world: World, count: int) -> dict[str, Any]:
    """Measure a network on some images together and alone."""
    random = np.random.default_rng(count)
    pairs = [
        (
            random.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8),
            random.integers(0, 3, (SIZE, SIZE)).astype(np.uint8),
        )
        for _ in range(count)
    ]
    classes = ClassMap("multiclass", ("a", "b", "c"))
    torch.manual_seed(1)
    network = Network(ALONE).double()
    polls = itertools.count()

    def scored(sharing: World | None) -> Any:
        return Evaluation(
            AnnotatedImages(count, pairs.__getitem__, classes),
            preprocessing=Preprocessing((SIZE, SIZE), "stretch", 3),
            compute=COMPUTE,
            batch_size=2,
            sharing=sharing,
        ).score(network, criterion=network.criterion, poll=lambda: next(polls) if sharing is not None else None)

    alone, shared = scored(None), scored(world)
    rounds = world.of_each(next(polls))
    return {
        "counts": torch.equal(alone.counts, shared.counts),
        "image counts": torch.equal(alone.image_counts, shared.image_counts),
        "loss": alone.loss == shared.loss,
        "rounds": len(set(rounds)) == 1,
    }


def detection(world: World, count: int) -> dict[str, Any]:
    """Measure a detector on some images together and alone; every other image is empty."""
    masks = np.zeros((1, SIZE, SIZE), bool)
    masks[0, 1:4, 2:5] = True
    boxes = np.array([[2, 1, 5, 4]], np.float32)

    def read(index: int) -> tuple[Any, TruthObjects]:
        place = slice(index % 2, 1)
        nothing = np.zeros(1, np.int64)[place]
        image = np.full((SIZE, SIZE, 3), index, np.uint8)
        instances = Instances(masks[place], boxes[place], nothing, nothing.astype(bool))
        return image, TruthObjects.from_instances(instances)

    class Detector(nn.Module):
        def infer(self, images: Tensor) -> list[RawObjects]:
            scores = images[:, 0, 0, 0].float() / 10
            ids = torch.zeros(1, dtype=torch.int64)
            return [
                RawObjects(torch.tensor([[2.0, 1, 5, 4]]), score[None], ids, torch.ones(1, 7, 7)) for score in scores
            ]

    def scored(sharing: World | None) -> ScoredObjects:
        return ObjectEvaluation(
            AnnotatedObjects(count, read, 1),
            preprocessing=Preprocessing((SIZE, SIZE), "stretch", 3),
            compute=COMPUTE,
            batch_size=1,
            sharing=sharing,
        ).score(Detector())

    alone, shared = scored(None), scored(world)
    ours, theirs = alone.scorer.to_arrays(), shared.scorer.to_arrays()
    return {
        "tables": all(np.array_equal(ours[name], theirs[name]) for name in ours),
        "types": all(ours[name].dtype == theirs[name].dtype for name in ours),
        "found": shared.scorer.diagnosis().num_predictions,
    }


def main() -> None:
    """Be the second process."""
    torch.set_num_threads(1)
    joining.PATIENCE_SECONDS = 600.0
    with joining.joined_world(COMPUTE.device) as world:
        found = everything(world)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
