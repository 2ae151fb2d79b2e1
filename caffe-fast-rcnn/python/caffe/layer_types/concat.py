"""Layers that join and cut blobs along an axis: Concat, Slice, Tile, Crop, BatchReindex."""
import torch

from ..layer import Layer, register
from .labels import rows_at


def _joined_axis(layer, param, old_name, axes):
    """The axis of a Concat or Slice, given as `axis` or in the older field `old_name` (an unsigned number)."""
    if param.HasField(old_name):
        if param.HasField("axis"):
            layer.fail("give axis or %s, not both" % old_name)
        return layer.canonical_axis(getattr(param, old_name), axes)
    return layer.canonical_axis(param.axis, axes)


@register("Concat")
class ConcatLayer(Layer):
    """The bottoms one behind the other along an axis: (N, C1, H, W), (N, C2, H, W) -> (N, C1 + C2, H, W).

    layer { type: "Concat" bottom: "x" bottom: "y" top: "xy" concat_param { axis: 1 } }
    """

    bottoms = (1, None)
    reads_top = False
    repeatable = True

    def reshape(self, bottom, top):
        shape = list(bottom[0].shape)
        self.axis = _joined_axis(self, self.layer_param.concat_param, "concat_dim", len(shape))
        for i, blob in enumerate(bottom):
            if len(blob.shape) != len(shape) or any(a != b for axis, (a, b) in enumerate(zip(blob.shape, shape))
                                                    if axis != self.axis):
                self.fail("bottom %d has shape %s, bottom 0 %s; they may differ on axis %d only"
                          % (i, blob.shape, bottom[0].shape, self.axis))
        shape[self.axis] = sum(blob.shape[self.axis] for blob in bottom)
        top[0].reshape(*shape)

    def forward(self, bottom, top):
        top[0].tensor = torch.cat([blob.tensor for blob in bottom], self.axis)

    def backward(self, top, propagate_down, bottom):
        parts = top[0].diff_tensor.split([blob.shape[self.axis] for blob in bottom], self.axis)
        for blob, part, wanted in zip(bottom, parts, propagate_down):
            if wanted:
                blob.diff_tensor = part


@register("Slice")
class SliceLayer(Layer):
    """Cuts the bottom along an axis, one piece a top: at the slice_points, or into equal pieces without them.

    layer { type: "Slice" bottom: "x" top: "a" top: "b" top: "c"
            slice_param { axis: 1 slice_point: 2 slice_point: 5 } }         # channels 0-1, 2-4, 5 and on
    """

    tops = (1, None)
    reads_top = False

    def reshape(self, bottom, top):
        shape = list(bottom[0].shape)
        self.axis = _joined_axis(self, self.layer_param.slice_param, "slice_dim", len(shape))
        self.sizes = self._sizes(shape[self.axis], len(top))
        for blob, size in zip(top, self.sizes):
            shape[self.axis] = size
            blob.reshape(*shape)

    def _sizes(self, length, count):
        points = list(self.layer_param.slice_param.slice_point)
        if not points:
            if length % count:
                self.fail("axis %d of size %d cannot be cut into %d equal tops" % (self.axis, length, count))
            return [length // count] * count
        if len(points) != count - 1:
            self.fail("%d slice_points for %d tops; expected %d" % (len(points), count, count - 1))
        edges = [0, *points, length]
        sizes = [b - a for a, b in zip(edges, edges[1:])]
        if min(sizes) <= 0:
            self.fail("slice_points %s; expected growing numbers inside axis %d of size %d"
                      % (points, self.axis, length))
        return sizes

    def forward(self, bottom, top):
        for blob, part in zip(top, bottom[0].tensor.split(self.sizes, self.axis)):
            blob.tensor = part.clone(memory_format=torch.contiguous_format)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff_tensor = torch.cat([blob.diff_tensor for blob in top], self.axis)


@register("Tile")
class TileLayer(Layer):
    """The bottom `tiles` times one behind the other along an axis.

    layer { type: "Tile" bottom: "x" top: "y" tile_param { axis: 1 tiles: 3 } }
    """

    reads_top = False

    def setup(self, bottom, top):
        self.tiles = self.layer_param.tile_param.tiles
        if self.tiles < 1:
            self.fail("tile_param.tiles %d; expected 1 or more" % self.tiles)

    def reshape(self, bottom, top):
        shape = list(bottom[0].shape)
        self.axis = self.canonical_axis(self.layer_param.tile_param.axis, len(shape))
        shape[self.axis] *= self.tiles
        top[0].reshape(*shape)

    def function(self, x):
        return torch.cat([x] * self.tiles, self.axis)


@register("Crop")
class CropLayer(Layer):
    """Cuts bottom[0] to the size of bottom[1] on the axes from `axis` on, starting at `offset`.

    layer { type: "Crop" bottom: "x" bottom: "like" top: "y" crop_param { axis: 2 offset: 5 } }

    offset: none (0), one for all cropped axes, or one for each.  bottom[1] gives its shape only and gets a zero diff.
    """

    bottoms = (2, 2)
    reads_top = False

    def reshape(self, bottom, top):
        shape, like = bottom[0].shape, bottom[1].shape
        first = self.canonical_axis(self.layer_param.crop_param.axis, len(shape))
        if len(like) != len(shape):
            self.fail("bottoms have shapes %s and %s; expected as many axes" % (shape, like))
        offsets = list(self.layer_param.crop_param.offset) or [0]
        if len(offsets) not in (1, len(shape) - first):
            self.fail("%d offsets for %d cropped axes; give none, one, or one for each"
                      % (len(offsets), len(shape) - first))
        offsets = offsets * (len(shape) - first) if len(offsets) == 1 else offsets
        self.ranges = [slice(None)] * first + [slice(o, o + n) for o, n in zip(offsets, like[first:])]
        for axis in range(first, len(shape)):
            if self.ranges[axis].stop > shape[axis]:
                self.fail("axis %d: offset %d and size %d reach beyond bottom 0 %s"
                          % (axis, self.ranges[axis].start, like[axis], shape))
        top[0].reshape(*shape[:first], *like[first:])

    def function(self, x, like):
        return x[tuple(self.ranges)].clone(memory_format=torch.contiguous_format)


@register("BatchReindex")
class BatchReindexLayer(Layer):
    """top[i] = bottom[0][bottom[1][i]] along axis 0; backward sums the diffs of items taken several times.

    layer { type: "BatchReindex" bottom: "x" bottom: "index" top: "y" }         # x (N, ...), index (M,) -> (M, ...)
    """

    bottoms = (2, 2)
    reads_top = False

    def reshape(self, bottom, top):
        if len(bottom[1].shape) != 1:
            self.fail("bottom 1 has shape %s; expected (M,)" % (bottom[1].shape,))
        if not bottom[0].shape:
            self.fail("bottom 0 has no axes; expected (N, ...)")
        top[0].reshape(bottom[1].shape[0], *bottom[0].shape[1:])

    def function(self, x, index):
        return rows_at(self, x, index, "bottom 1 holds indices from %d to %d; bottom 0 has %d items")

    def allow_force_backward(self, bottom_index):
        return bottom_index == 0
