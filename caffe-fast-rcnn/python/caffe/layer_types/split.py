"""Layers that only move blobs on: Split hands one to several readers, Silence to none."""
import torch

from ..layer import Layer, register


@register("Split")
class SplitLayer(Layer):
    """Every top is the bottom itself; backward sums the tops' diffs.  Net inserts it where a blob has several readers.

    layer { type: "Split" bottom: "x" top: "x_split_0" top: "x_split_1" }

    A top whose diff was never written counts as zero and gets no memory: the read-only branch of an OHEM net is one.
    """

    tops = (1, None)
    shares_data = True

    def reshape(self, bottom, top):
        for blob in top:
            blob.reshape(*bottom[0].shape)
            blob.share_data(bottom[0])

    def forward(self, bottom, top):
        pass

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        diffs = [blob.diff_tensor for blob in top if blob.has_diff]
        if len(diffs) < 2:
            bottom[0].diff_tensor = diffs[0] if diffs else torch.zeros_like(bottom[0].tensor)
            return
        total = diffs[0] + diffs[1]
        for diff in diffs[2:]:
            total += diff
        bottom[0].diff_tensor = total


@register("Silence")
class SilenceLayer(Layer):
    """Takes blobs that nothing else reads, so that they are no outputs of the net; their diffs are zero.

    layer { type: "Silence" bottom: "x" bottom: "y" }
    """

    bottoms, tops = (1, None), (0, 0)

    def forward(self, bottom, top):
        pass

    def backward(self, top, propagate_down, bottom):
        for blob, wanted in zip(bottom, propagate_down):
            if wanted and blob.has_diff:        # a diff that was never written reads as zeros already
                blob.diff_tensor = torch.zeros_like(blob.tensor)
