"""Filter: the items of a batch that a selector picks."""
from ..layer import Layer, register


@register("Filter")
class FilterLayer(Layer):
    """The items of every bottom but the last for which the last, the selector, is not 0.

    layer { name: "f" type: "Filter" bottom: "x" bottom: "label" bottom: "selector" top: "x_f" top: "label_f" }

    bottoms: (N, ...) each, the selector (N) or (N, 1, ...); tops: (K, ...) for K picked items, which may be 0.
    On a GPU each pass waits for the selector's numbers, which say how many items there are.
    Items that are not picked get a zero diff.  Before the first pass the tops have the shapes of the bottoms.
    """

    bottoms, tops = (2, None), (1, None)
    reads_top = False

    def setup(self, bottom, top):
        if len(top) != len(bottom) - 1:
            self.fail(f"{len(bottom)} bottoms and {len(top)} tops; expected a top for each bottom but the selector")
        self._picked = None
        self._selector = len(bottom) - 1
        self._is_set_up = False

    def reshape(self, bottom, top):
        selector = bottom[-1]
        if not selector.shape or selector.count != selector.shape[0]:
            self.fail(f"the selector has shape {selector.shape}; expected (N) or (N, 1, ...)")
        for i, blob in enumerate(bottom[:-1]):
            if blob.shape[:1] != selector.shape[:1]:
                self.fail(f"bottom {i} has shape {blob.shape}, the selector {selector.shape}; expected as many items")
        self._picked = selector.tensor.reshape(-1).nonzero()[:, 0]
        count = len(self._picked) if self._is_set_up else selector.shape[0]
        self._is_set_up = True
        for blob, source in zip(top, bottom):
            blob.reshape(count, *source.shape[1:])

    def function(self, *bottoms):
        return tuple(blob[self._picked] for blob in bottoms[:-1])

    def backward(self, top, propagate_down, bottom):
        if propagate_down[-1]:
            self.fail("the selector (the last bottom) has no diff; give propagate_down: false for it")
        super().backward(top, propagate_down, bottom)

    def allow_force_backward(self, bottom_index):
        return bottom_index != self._selector
