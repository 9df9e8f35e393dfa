"""Batch normalisation where a batch holds one value per channel."""

from __future__ import annotations

from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn import functional as F


class SingleValueBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that also works behind global pooling with one image in the batch.

    The spread of a single value is zero, so torch refuses to train on it. Here the running statistics stand in, as in
    evaluation, and are left as they are. With more values it is `torch.nn.BatchNorm2d`, with dropout and activation
    behind it where timm has them in its own variant.
    """

    drop: nn.Module
    act: nn.Module

    @classmethod
    def replacing(cls, norm: nn.BatchNorm2d) -> SingleValueBatchNorm2d:
        """Return a copy of `norm` that does the same and takes single values, too."""
        copy = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        is_timm = isinstance(norm, BatchNormAct2d)
        copy.drop = norm.get_submodule("drop") if is_timm else nn.Identity()
        copy.act = norm.get_submodule("act") if is_timm else nn.Identity()
        copy.load_state_dict(norm.state_dict())
        return copy.train(norm.training)

    def forward(self, features: Tensor) -> Tensor:
        """Normalise features (N, C, H, W)."""
        if self.training and features.numel() == features.shape[1]:
            normalised = F.batch_norm(
                features, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        else:
            normalised = super().forward(features)
        output: Tensor = self.act(self.drop(normalised))
        return output


def allow_single_values(network: nn.Module, single_value: frozenset[int]) -> None:
    """Replace those batch normalisations that get one value per channel and image.

    Args:
        network: is changed in place; its parameters and their names stay.
        single_value: ids of modules, from `construction.Trial`.
    """
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if id(child) in single_value and isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, SingleValueBatchNorm2d.replacing(child))
