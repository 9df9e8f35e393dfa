"""The order of images in an epoch."""

from __future__ import annotations

import numpy as np
import pytest

from easyseg.data.batches.sampling import epoch_order, grouped_by_shape, rare_class_weights
from easyseg.errors import ConfigError


def test_order_is_a_permutation_and_a_function_of_seed_and_epoch():
    """Every image comes once; another epoch or seed gives another order, the same ones the same."""
    order = epoch_order(50, seed=3, epoch=7)
    assert order.dtype == np.int64
    assert sorted(order) == list(range(50))
    assert (order == epoch_order(50, seed=3, epoch=7)).all()
    assert (order != epoch_order(50, seed=3, epoch=8)).any()
    assert (order != epoch_order(50, seed=4, epoch=7)).any()


def test_orders_have_no_favourite_places():
    """Over many epochs each image is as often first as any other."""
    first = np.bincount([epoch_order(5, seed=0, epoch=epoch)[0] for epoch in range(2000)], minlength=5)
    assert first.min() > 330
    assert first.max() < 470


def test_oversampled_share_is_drawn_by_weight():
    """The share asked for is drawn from the preferred images, the rest stays a permutation's."""
    weights = np.zeros(1000)
    weights[[3, 7]] = 1.0, 3.0
    order = epoch_order(1000, seed=0, epoch=0, weights=weights, oversample=0.4)
    counts = np.bincount(order, minlength=1000)
    assert 395 <= counts[3] + counts[7] <= 405
    assert 2.3 < counts[7] / counts[3] < 4
    others = np.delete(counts, [3, 7])
    assert others.max() == 1
    # the preferred images must not stand together: halves of the epoch get similar shares
    assert abs(np.isin(order[:500], [3, 7]).mean() - 0.4) < 0.07


@pytest.mark.parametrize(("weights", "oversample"), [(None, 0.5), (np.ones(20), 0.0), (np.zeros(20), 0.5)])
def test_nothing_to_prefer_leaves_the_permutation(weights, oversample):
    """Without weights, without a share, or with weights of 0 the order is the plain one."""
    order = epoch_order(20, seed=1, epoch=2, weights=weights, oversample=oversample)
    assert (order == epoch_order(20, seed=1, epoch=2)).all()


@pytest.mark.parametrize("weights", [np.ones(3), np.array([1.0, -1.0, 1.0, 1.0])])
def test_unfit_weights_are_refused(weights):
    """Weights must be one per image and not negative."""
    with pytest.raises(ConfigError, match="needs 4 weights"):
        epoch_order(4, seed=0, epoch=0, weights=weights, oversample=0.5)


def test_rare_classes_are_drawn_as_often_as_frequent_ones():
    """Each image stands for its rarest class, and every class gets the same share of the draws."""
    counts = np.array([[90, 10, 0], [100, 0, 0], [95, 0, 5], [90, 10, 0], [0, 0, 0], [100, 0, 0]])
    weights = rare_class_weights(counts)
    assert weights == pytest.approx([1 / 6, 1 / 6, 1 / 3, 1 / 6, 0, 1 / 6])


def test_foreground_images_are_preferred_in_the_binary_task():
    """With one class, images without it are never drawn."""
    assert rare_class_weights(np.array([[5], [0], [1]])) == pytest.approx([0.5, 0, 0.5])


def test_images_without_any_class_weigh_nothing():
    """Where no image shows a class, all weights are 0."""
    assert rare_class_weights(np.zeros((3, 2), np.int64)).tolist() == [0, 0, 0]


def test_batches_of_one_shape():
    """Every image comes once, batches hold one shape but for those at the end, and order within a shape stays."""
    sizes = [(60, 40) if number % 3 else (40, 60) for number in range(50)]
    order = epoch_order(50, seed=0, epoch=0)
    grouped = grouped_by_shape(order, sizes, batch_size=4)
    assert grouped.dtype == np.int64
    assert sorted(grouped) == list(range(50))
    kinds = [number % 3 == 0 for number in grouped]
    mixed = [at for at in range(0, 50, 4) if len(set(kinds[at : at + 4])) > 1]
    assert len(mixed) <= 1
    assert not mixed or mixed[0] >= 50 - 2 * 4
    for kind in (True, False):
        before = [number for number in order if (number % 3 == 0) == kind]
        assert [number for number in grouped if (number % 3 == 0) == kind] == before
    assert len(set(kinds[:24])) == 2
    assert (grouped == grouped_by_shape(order, sizes, batch_size=4)).all()


def test_images_of_one_shape_keep_their_order():
    """Where there is nothing to group, nothing changes; squares lie."""
    order = epoch_order(11, seed=0, epoch=0)
    assert (grouped_by_shape(order, [(5, 5)] * 11, batch_size=4) == order).all()
    assert grouped_by_shape(order[:0], [], batch_size=4).shape == (0,)
