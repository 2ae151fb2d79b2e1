"""Gradients in buckets: few large arrays that travel between processes, each as soon as backward has finished it."""
import torch

BUCKET_BYTES = 25 * 2 ** 20     # large enough that latency does not count, small enough to leave during backward


class Bucket:
    """The diffs of some parameters as parts of one array, `flat`.

    ready: number of the layer whose backward writes into it last.
    """

    def __init__(self, blobs, ready):
        self.ready, self._blobs = ready, blobs
        like = blobs[0].tensor
        self.flat = torch.zeros(sum(blob.count for blob in blobs), dtype=like.dtype, device=like.device)
        parts = self.flat.split([blob.count for blob in blobs])
        self._parts = [part.view(blob.shape) for part, blob in zip(parts, blobs)]

    def collect(self):
        """Have the diffs in `flat`; they are copied only where a blob's diff lies elsewhere."""
        for blob, part in zip(self._blobs, self._parts):
            diff = blob.mutable_diff_tensor()
            if diff.data_ptr() != part.data_ptr():
                part.copy_(diff)

    def hand_back(self):
        """Give the blobs the parts of `flat` as their diffs; those that users hold views of copy them."""
        for blob, part in zip(self._blobs, self._parts):
            if blob.mutable_diff_tensor().data_ptr() != part.data_ptr():
                blob.diff_tensor = part


def make_buckets(net):
    """Buckets over all parameters of a net that learn, in the order in which backward finishes them.

    A parameter that layers share is finished when the first of them, which backward comes to last, is.
    """
    finished_by = {}
    for number, layer in reversed(list(enumerate(net.layers))):
        if layer.needs_backward:
            finished_by.update((id(blob), number) for blob in layer.blobs)
    learning = [(finished_by[id(blob)], blob) for blob, (lr_mult, _) in zip(net.learnable_params, net.param_multipliers)
                if lr_mult and id(blob) in finished_by]
    groups = []
    for ready, blob in sorted(learning, key=lambda entry: -entry[0]):
        size = blob.count * blob.tensor.element_size()
        if not groups or groups[-1][0] + size > BUCKET_BYTES:
            groups.append([0, []])
        groups[-1][0] += size
        groups[-1][1].append((ready, blob))
    return [Bucket([blob for _, blob in group], min(ready for ready, _ in group)) for _, group in groups]
