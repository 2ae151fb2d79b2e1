"""The CPU's dropout kernel: as random as it says, and the same for any number of threads and in place."""
import numpy as np
import pytest
import torch
from caffe.kernels.neuron import dropout, dropout_cpu


def kept(key, keep, shape=(300, 1000)):
    """bool array: which of the numbers stay."""
    return dropout.drop(torch.ones(shape), key, keep, 1.0).numpy() == 1


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.8, 1.0])
def test_share_that_stays_in_all_rows_and_columns(keep):
    stays = kept(1234567890123456789, keep)
    deviation = np.sqrt(keep * (1 - keep))
    assert abs(stays.mean() - keep) <= 4 * deviation / np.sqrt(stays.size)
    for axis in (0, 1):
        bound = 5 * deviation / np.sqrt(stays.shape[axis])
        assert np.abs(stays.mean(axis) - keep).max() <= bound


def test_neighbours_and_keys_are_independent():
    a = kept(1, 0.5).ravel()
    others = [a[1:], a[2:], a[16:], a[1000:], kept(2, 0.5).ravel(), kept(1 << 32, 0.5).ravel(), kept((1 << 32) + 1, 0.5).ravel()]
    for b in others:
        share = (a[:len(b)] == b).mean()
        assert abs(share - 0.5) < 4 * 0.5 / np.sqrt(len(b))


def test_threads_and_place_change_nothing():
    x = torch.from_numpy(np.random.RandomState(0).randn(70000).astype(np.float32))
    one, three = torch.empty_like(x), torch.empty_like(x)
    dropout_cpu.drop(x.numpy(), one.numpy(), 77, 0.6, 1 / 0.6, 1)
    dropout_cpu.drop(x.numpy(), three.numpy(), 77, 0.6, 1 / 0.6, 3)
    in_place = dropout.drop(x.clone(), 77, 0.6, 1 / 0.6, in_place=True)
    assert torch.equal(one, three) and torch.equal(one, in_place) and 0 < int((one == 0).sum()) < len(one)
    assert torch.equal(one[one != 0], (x * np.float32(1 / 0.6))[one != 0])


def test_the_draw_follows_the_generator():
    def draws():
        generator = torch.Generator().manual_seed(5)
        return [dropout.draw(torch.ones(2), 0.5, generator) for _ in range(3)]
    assert draws() == draws() and len(set(draws())) == 3
