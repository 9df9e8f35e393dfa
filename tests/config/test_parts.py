"""Words for parts of a model."""

from __future__ import annotations

import pytest

from easyseg.config.parts import Selector, read_selector, read_selectors
from easyseg.errors import ConfigError, UnknownNameError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("head", Selector("head", word="head")),
        ("backbone", Selector("backbone", word="encoder")),
        ("encoder[0]", Selector("encoder[0]", word="encoder", index=0)),
        ("backbone[-1]", Selector("backbone[-1]", word="encoder", index=-1)),
        ("encoder[-2:]", Selector("encoder[-2:]", word="encoder", index=slice(-2, None))),
        ("encoder[1:3]", Selector("encoder[1:3]", word="encoder", index=slice(1, 3))),
        ("encoder[ : 2 ]", Selector("encoder[ : 2 ]", word="encoder", index=slice(None, 2))),
        ("*.bn1.*", Selector("*.bn1.*", pattern="*.bn1.*")),
        ("network.encoder.layer?", Selector("network.encoder.layer?", pattern="network.encoder.layer?")),
        ("not encoder[0]", Selector("encoder[0]", removes=True, word="encoder", index=0)),
        ("  not   head ", Selector("head", removes=True, word="head")),
    ],
)
def test_words_are_taken_apart(text, expected):
    """A word, a stage or stages of the encoder, a pattern, and each of these taken away."""
    assert read_selector(text) == expected


@pytest.mark.parametrize(
    ("text", "nearest"),
    [("heed", "head"), ("encodr", "encoder"), ("encoder[1", "encoder[-1]"), ("not decodr", "decoder")],
)
def test_other_words_are_refused(text, nearest):
    """What is no part is refused with the nearest one and the others."""
    with pytest.raises(UnknownNameError, match=r"Did you mean '(.*?)'.*encoder\[-2:\].*roi_heads") as caught:
        read_selector(text)
    assert f"Did you mean {nearest!r}" in str(caught.value)


@pytest.mark.parametrize("text", ["", "encoder[1.5]", "encoder[a]", "head decoder", "encoder [0]", "encoder[1:2:3]"])
def test_near_misses_are_refused(text):
    """Nothing is guessed: an index that is no number, two words in one, no word at all."""
    with pytest.raises(UnknownNameError):
        read_selector(text)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("head", ("head",)),
        ("head, encoder[-2:]", ("head", "encoder[-2:]")),
        (["head", "not  encoder[0]"], ("head", "not encoder[0]")),
        (("all",), ("all",)),
    ],
)
def test_one_or_many(given, expected):
    """One text, several with commas between, or a list of texts."""
    assert read_selectors(given) == expected


@pytest.mark.parametrize("given", [[], (), 3, None, ["head", 3], {"head": 1}])
def test_what_is_no_list_of_texts_is_refused(given):
    """Anything else is refused with an example."""
    with pytest.raises(ConfigError, match=r"names no parts of a model; type such as 'head'"):
        read_selectors(given)
