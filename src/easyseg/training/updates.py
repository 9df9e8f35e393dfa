"""From a batch to moved weights: loss, gradients, clipping, optimizer, in this order.

Two faults are met here. A loss or gradient that is no finite number never reaches the weights. A batch that does not
fit into memory is worked through in smaller pieces, with the same effective batch size; several processes, which would
have to agree on that in the middle of a pass, leave it to the user.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from easyseg.devices import free_cached_memory, is_out_of_memory
from easyseg.structures import Batch
from easyseg.training.distributed import ALONE, World, replicated
from easyseg.training.finiteness import FinitenessGuard
from easyseg.training.progress import LoopPlan, Position
from easyseg.training.trainable import Losses, TrainableModel


class WeightUpdate:
    """Moves a model's weights, batch by batch.

    Args:
        model: trained in place.
        optimizer: of its weights.
        scaler: scales losses where fp16 needs it.
        guard: decides whether a step may move the weights.
        after_step: called after every optimizer step, such as to bring a moving average of the weights up to date.
        say: is told, in words, when batches are cut up.

    Attributes:
        pieces: so many parts a batch is worked through in, to fit into memory.
    """

    def __init__(
        self,
        model: TrainableModel,
        optimizer: torch.optim.Optimizer,
        *,
        scaler: torch.amp.GradScaler,
        guard: FinitenessGuard,
        after_step: Callable[[], None] = lambda: None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.pieces = 1
        self._model = model
        self._world = ALONE
        self._losses_of: Losses = model.losses
        self._optimizer = optimizer
        self._scaler = scaler
        self._guard = guard
        self._after_step = after_step
        self._say = say
        self._weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        self._window: list[Batch] = []
        self._losses: list[Tensor] = []
        self._images: list[int] = []
        self._earlier_gradients: list[Tensor | None] = [None] * len(self._weights)
        self._reset_gradients()  # a run that was stopped between two steps leaves some behind

    def begin_stage(self, world: World) -> None:
        """Take note of which weights learn from now on, and of the processes that share each batch."""
        self._world = world
        self._losses_of = replicated(self._model, world)
        if world.size > 1:
            self.pieces = 1  # an earlier session on one device may have needed more

    def learn(self, batch: Batch, plan: LoopPlan, position: Position) -> Tensor:
        """Add a batch's gradients, move the weights where the step is complete, and return the loss, a scalar.

        Args:
            batch: on the host.
            plan: how many batches share a step.
            position: where the run is, before this batch.
        """
        if position.batch % plan.accumulate == 0:
            self._guard.step_begins()
        self._window.append(batch)
        self._images += batch.whole or batch.indices
        loss = self._add_gradients(plan, 1 / plan.batches_per_step(position.batch))
        self._losses.append(loss)
        self._world.spread(self._model.buffers())  # each process has seen other images, and one state must be saved
        if plan.completes_step(position.batch):
            self._step(plan, position)
        return loss

    def drop_open_step(self) -> None:
        """Forget the batches since the last step, such as at the end of a stage that stopped before its step did."""
        self._window.clear()
        self._losses.clear()
        self._images.clear()
        self._earlier_gradients = [None] * len(self._weights)
        self._reset_gradients()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the pieces, and of the step that is under way all but its gradients."""
        return {"pieces": self.pieces, "images": list(self._images), "losses": [float(loss) for loss in self._losses]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned; the weights have their gradients back already."""
        self.pieces = int(state["pieces"])
        self._images = list(state["images"])
        self._losses = [torch.tensor(loss, device=self._weights[0].device) for loss in state["losses"]]
        # copies: gradients are added to in place, and a pass that runs out of memory must find these as they were
        self._earlier_gradients = [None if weight.grad is None else weight.grad.clone() for weight in self._weights]

    def _add_gradients(self, plan: LoopPlan, share: float) -> Tensor:
        waiting = self._window[-1:]
        while True:
            try:
                return [self._gradients_of(batch, plan, share) for batch in waiting][-1]
            except (RuntimeError, MemoryError) as error:
                most = max(len(batch) for batch in self._window) if self._world.size == 1 else 1
                if not is_out_of_memory(error) or self.pieces >= most:
                    raise
            # outside of the except block, whose traceback holds on to the memory
            self.pieces *= 2
            self._say(
                f"Out of memory: from now on each batch goes through the network in {self.pieces} pieces, whose "
                "gradients are added up. The effective batch size stays the same."
            )
            # the pass that broke off may have left a part of its gradients, so the whole step is taken anew
            self._reset_gradients()
            self._guard.put_back_statistics()
            free_cached_memory(plan.compute.device)
            waiting = self._window

    def _gradients_of(self, batch: Batch, plan: LoopPlan, share: float) -> Tensor:
        total = torch.zeros((), device=plan.compute.device)
        for piece in batch.pieces(self.pieces) if self.pieces > 1 else [batch]:
            weight = len(piece) / len(batch) if self.pieces > 1 else 1.0
            with plan.compute.autocast():
                loss = torch.stack(list(self._losses_of(piece.to(plan.compute.device)).values())).sum()
            # the mean over processes is taken of the gradients; the sum is wanted
            torch.autograd.backward(self._scaler.scale(loss * (weight * share * self._world.size)))
            total += loss.detach() * weight
        return total

    def _step(self, plan: LoopPlan, position: Position) -> None:
        self._scaler.unscale_(self._optimizer)  # the norm of scaled gradients means nothing
        norm = nn.utils.get_total_norm([weight.grad for weight in self._weights if weight.grad is not None])
        if plan.clip_gradients is not None:
            nn.utils.clip_grads_with_norm_(self._weights, plan.clip_gradients, norm)
        finite = torch.stack(self._losses).isfinite().all()
        if not self._scaler.is_enabled():  # it meets gradients that are infinite itself, by a smaller scale
            finite &= norm.isfinite()
        if self._guard.admits(finite, position, self._images):
            self._scaler.step(self._optimizer)
            self._after_step()
        self._scaler.update()
        self.drop_open_step()

    def _reset_gradients(self) -> None:
        for weight, earlier in zip(self._weights, self._earlier_gradients, strict=True):
            weight.grad = None if earlier is None else earlier.clone()
