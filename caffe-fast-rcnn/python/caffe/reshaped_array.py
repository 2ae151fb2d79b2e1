"""The numbers of a SyncedArray under another shape: the parameters that share_mode PERMISSIVE shares."""


class ReshapedArray:
    """A SyncedArray of `shape` that keeps nothing itself: what is written goes into `array`, of the same count."""

    recipe = None

    def __init__(self, array, shape):
        self._array, self.shape = array, tuple(shape)

    @property
    def allocated(self):
        return self._array.allocated

    def tensor(self):
        return self._array.tensor().reshape(self.shape)

    def mutable_tensor(self):
        tensor = self._array.mutable_tensor()
        if not tensor.is_contiguous():
            self._array.set(tensor.contiguous())    # of which another shape is a view, not a copy
        return self._array.mutable_tensor().view(self.shape)

    def set(self, tensor):
        self._array.set(tensor.reshape(self._array.shape))

    def rows(self, regions=False):
        return self.tensor(), None

    def set_rows(self, rows, repeats):
        self.set(rows if repeats is None else rows.index_select(0, repeats))

    def forget(self):
        """Nothing: there is no recipe."""

    def numpy(self):
        self.mutable_tensor()
        return self._array.numpy().reshape(self.shape)

    def reshaped(self, shape):
        return ReshapedArray(self._array, shape)
