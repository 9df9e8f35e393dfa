"""From words for parts to names of parameters."""

from __future__ import annotations

import pytest
from torch import nn

from easyseg.errors import ConfigError, UnknownNameError
from easyseg.training.parts import names_by_part, refuse_overlaps, resolve_parts


class PartedModel(nn.Module):
    """Three encoder stages, a decoder that shares a weight with the last one, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)) for _ in range(3))
        self.decoder = nn.Conv2d(1, 1, 1, bias=False)
        self.decoder.weight = self.stages[2][0].weight
        self.decoder.scale = nn.Parameter(self.decoder.weight.detach().clone())
        self.head = nn.Conv2d(1, 2, 1)

    def parts(self) -> dict[str, nn.Module]:
        return {
            **{f"encoder[{number}]": stage for number, stage in enumerate(self.stages)},
            "decoder": self.decoder,
            "head": self.head,
        }


BY_PART = names_by_part(PartedModel())


def parts_of(names):
    """Return which parts all names of which are there."""
    return [part for part, members in BY_PART.items() if members <= names]


def test_each_parameter_is_in_one_part():
    """A shared parameter belongs to the first part that has it."""
    assert list(BY_PART) == ["encoder[0]", "encoder[1]", "encoder[2]", "decoder", "head"]
    assert BY_PART["encoder[2]"] == {f"stages.2.{name}" for name in ("0.weight", "0.bias", "1.weight", "1.bias")}
    assert BY_PART["decoder"] == {"decoder.scale"}


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        (["all"], list(BY_PART)),
        (["head"], ["head"]),
        (["heads"], ["decoder", "head"]),
        (["encoder"], ["encoder[0]", "encoder[1]", "encoder[2]"]),
        (["backbone"], ["encoder[0]", "encoder[1]", "encoder[2]"]),
        (["encoder[0]"], ["encoder[0]"]),
        (["encoder[-1]"], ["encoder[2]"]),
        (["encoder[-2:]", "head"], ["encoder[1]", "encoder[2]", "head"]),
        (["backbone[:1]"], ["encoder[0]"]),
        (["stages.1"], ["encoder[1]"]),
        (["all", "not encoder[0]"], ["encoder[1]", "encoder[2]", "decoder", "head"]),
        (["encoder", "not encoder[-1]", "encoder[-1]"], ["encoder[0]", "encoder[1]", "encoder[2]"]),
        (["not head"], []),
    ],
)
def test_words_stand_for_parts(selectors, expected):
    """Words, stages, slices, names of modules, and taking away, in the order given."""
    assert parts_of(resolve_parts(selectors, BY_PART, asker="Stage 'x'")) == expected


def test_patterns_stand_for_parameters():
    """A pattern is compared with whole names; brackets in it mean what they mean for file names."""
    assert resolve_parts(["*.1.bias"], BY_PART, asker="x") == {f"stages.{number}.1.bias" for number in range(3)}
    assert resolve_parts(["stages.[01].0.bias"], BY_PART, asker="x") == {"stages.0.0.bias", "stages.1.0.bias"}


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("fpn", r"^Stage 'top': this model has no part 'fpn'\. It has encoder\[0\], .*, head\."),
        ("encoder[3]", r"^Stage 'top': 'encoder\[3\]' is no stage .* has 3, encoder\[0\] to encoder\[2\]"),
        ("encoder[-4]", r"no stage of this encoder"),
        ("encoder[5:]", r"no stage of this encoder"),
        ("encoder[2:1]", r"no stage of this encoder"),
        ("stagse.1.*", r"no parameter fits the pattern 'stagse\.1\.\*'.* Did you mean 'stages\.1\.\*'"),
        ("*.gamma", r"no parameter fits the pattern '\*\.gamma'.* Names look like 'stages\.0\.0\.bias'"),
        ("encodr", r"Did you mean 'encoder'"),
    ],
)
def test_what_is_not_there_is_refused(selector, message):
    """A part this model lacks, a stage too many, or a pattern that fits nothing: an error with what there is."""
    with pytest.raises(UnknownNameError, match=message):
        resolve_parts(["head", selector], BY_PART, asker="Stage 'top'")


@pytest.mark.parametrize(
    "selectors",
    [
        ["encoder", "encoder[0]"],
        ["all", "head"],
        ["encoder[:2]", "encoder[1:]"],
        ["head", "head"],
        ["head.*", "head"],
        ["encoder", "stages.1.*"],
        ["*", "stages.1.*"],
    ],
)
def test_overlapping_words_are_refused(selectors):
    """Two parts that overlap, or a word that adds nothing to another: it was not meant, and both are named."""
    with pytest.raises(ConfigError, match=r"^Stage 'x': '.*' and '.*' overlap in \d+ parameters") as caught:
        refuse_overlaps(selectors, BY_PART, asker="Stage 'x'")
    assert all(repr(selector) in str(caught.value) for selector in selectors)


@pytest.mark.parametrize(
    "selectors", [["head", "*.bias"], ["encoder[0]", "encoder[1:]", "heads"], ["all", "not encoder[0]"], ["head"]]
)
def test_words_that_add_something_are_fine(selectors):
    """A pattern may go across a part, and what is taken away overlaps by nature."""
    refuse_overlaps(selectors, BY_PART, asker="x")
