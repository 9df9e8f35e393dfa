"""Feature pyramids: five levels of 256 channels, whatever features there are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from easyseg.models.instance.pyramid import FeaturePyramid, SimpleFeaturePyramid


def features(channels: tuple[int, ...], reductions: tuple[int, ...], *, scale: float = 1.0) -> list[Tensor]:
    """Return random features of an image of 96 by 160 pixels."""
    torch.manual_seed(0)
    return [
        scale * torch.randn(2, width, 96 // reduction, 160 // reduction)
        for width, reduction in zip(channels, reductions, strict=True)
    ]


def sizes(levels: list[Tensor]) -> list[tuple[int, ...]]:
    """Return the levels' shapes."""
    return [tuple(level.shape) for level in levels]


EXPECTED = [(2, 256, 24, 40), (2, 256, 12, 20), (2, 256, 6, 10), (2, 256, 3, 5), (2, 256, 2, 3)]


@pytest.mark.parametrize("reductions", [(4, 8, 16, 32), (8, 16, 32), (16, 32), (4, 8, 16), (4, 16, 32), (4, 8)])
def test_missing_levels_are_made_up(reductions: tuple[int, ...]) -> None:
    """Features that an encoder lacks are made of their neighbours, and every feature matters."""
    channels = tuple(range(8, 8 + len(reductions)))
    pyramid = FeaturePyramid(channels, reductions, "group")
    given = [feature.requires_grad_() for feature in features(channels, reductions)]
    levels = pyramid(given)
    assert sizes(levels) == EXPECTED
    levels[0].square().sum().backward()
    assert all(feature.grad is not None and bool(feature.grad.any()) for feature in given)


@pytest.mark.parametrize("norm", [None, "batch"])
def test_it_is_the_pyramid_of_the_paper(norm: str | None) -> None:
    """With the same weights it gives what torchvision's gives, whose weights it takes by name."""
    torch.manual_seed(0)
    make = None if norm is None else nn.BatchNorm2d
    theirs = FeaturePyramidNetwork([8, 9, 10, 11], 256, LastLevelMaxPool(), make)
    ours = FeaturePyramid((8, 9, 10, 11), (4, 8, 16, 32), norm)  # type: ignore[arg-type]
    ours.load_state_dict(theirs.state_dict())
    given = features((8, 9, 10, 11), (4, 8, 16, 32))
    expected = theirs({str(place): feature for place, feature in enumerate(given)})
    assert all(torch.equal(mine, other) for mine, other in zip(ours(given), expected.values(), strict=True))


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_levels_have_one_magnitude(scale: float) -> None:
    """Encoders' features differ by factors of ten thousand, and the heads see none of it."""
    levels = FeaturePyramid((32,) * 4, (4, 8, 16, 32), "group")(features((32,) * 4, (4, 8, 16, 32), scale=scale))
    assert all(0.5 < level.std().item() < 2 for level in levels)


def test_plain_transformers_get_a_simple_pyramid() -> None:
    """One feature at a sixteenth makes all levels; of several the last counts."""
    first, last = (feature.requires_grad_() for feature in features((24, 24), (16, 16)))
    levels = SimpleFeaturePyramid(24)([first, last])
    assert sizes(levels) == EXPECTED
    assert all(0.5 < level.std().item() < 2 for level in levels)
    levels[0].sum().backward()
    assert last.grad is not None
    assert first.grad is None
