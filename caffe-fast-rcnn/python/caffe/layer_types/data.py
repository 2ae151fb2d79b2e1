"""Layers that have no bottom: Input, DummyData, Parameter."""
from ..blob import Blob
from ..filler import fill
from ..layer import Layer, register
from ..proto import caffe_pb2


class SourceLayer(Layer):
    """Base: no bottom, hence nothing to do backward (force_backward calls it all the same)."""

    bottoms = (0, 0)
    tops: tuple[int, int | None] = (1, None)

    def forward(self, bottom, top):
        pass

    def backward(self, top, propagate_down, bottom):
        pass


@register("Input")
class InputLayer(SourceLayer):
    """Blobs that the caller fills: net.blobs["data"].data[...] = array.

    layer { name: "input" type: "Input" top: "data" top: "rois"
            input_param { shape { dim: 1 dim: 3 dim: 600 dim: 800 } shape { dim: 1 dim: 5 } } }

    One shape for all tops, one for each, or none (then reshape the blobs before use).
    """

    reads_top = True        # nothing may overwrite what the caller wrote

    def setup(self, bottom, top):
        shapes = self.layer_param.input_param.shape
        if len(shapes) not in (0, 1, len(top)):
            self.fail("%d shapes for %d tops; give none, one for all, or one for each" % (len(shapes), len(top)))
        for i, blob in enumerate(top if shapes else ()):
            blob.reshape(*shapes[i if len(shapes) > 1 else 0].dim)


@register("DummyData")
class DummyDataLayer(SourceLayer):
    """Blobs from fillers; constant ones are filled once, random ones in every forward pass.

    layer { type: "DummyData" top: "data" top: "label"
            dummy_data_param { shape { dim: 2 dim: 3 dim: 9 dim: 9 } shape { dim: 2 }
                               data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 1 } } }

    Shapes (or the older num, channels, height, width) and fillers: one for all tops, or one for each; no filler is 0.
    """

    def setup(self, bottom, top):
        param = self.layer_param.dummy_data_param
        fillers = list(param.data_filler) or [caffe_pb2.FillerParameter(type="constant")]
        self.fillers = self._one_each(fillers, len(top), "data_filler")
        for blob, shape, filler in zip(top, self._shapes(param, len(top)), self.fillers):
            blob.reshape(*shape)
            fill(blob, filler)

    def _shapes(self, param, count):
        old = [param.num, param.channels, param.height, param.width]
        if param.shape and any(old):
            self.fail("give shape or num, channels, height, width, not both")
        if param.shape:
            return self._one_each([shape.dim for shape in param.shape], count, "shape")
        return list(zip(*(self._one_each(list(sizes), count, name)
                          for sizes, name in zip(old, ("num", "channels", "height", "width")))))

    def _one_each(self, values, count, what):
        if len(values) not in (1, count):
            self.fail("%d %s for %d tops; give one for all, or one for each" % (len(values), what, count))
        return values * count if len(values) == 1 else values

    def forward(self, bottom, top):
        for blob, filler in zip(top, self.fillers):
            if filler.type != "constant":
                fill(blob, filler)


@register("Parameter")
class ParameterLayer(Layer):
    """A learnt blob as a top: its one parameter, of zeros until weights are loaded.

    layer { type: "Parameter" top: "w" parameter_param { shape { dim: 3 dim: 4 } } }
    """

    bottoms = (0, 0)
    reads_top = True        # the top is the parameter's memory

    def setup(self, bottom, top):
        self.blobs = [Blob(*self.layer_param.parameter_param.shape.dim)]

    def reshape(self, bottom, top):
        top[0].reshape(*self.blobs[0].shape)
        top[0].share_data(self.blobs[0])

    def forward(self, bottom, top):
        pass

    def backward(self, top, propagate_down, bottom):
        if self.learns(0) and top[0].has_diff:
            self.blobs[0].add_diff(top[0].diff_tensor)
