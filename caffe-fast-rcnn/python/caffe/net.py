"""Net: a prototxt made into layers and blobs that run forward and backward; pycaffe's Net."""
import math
import os
from collections import OrderedDict
from contextlib import contextmanager

import torch

from . import common, layer_types  # noqa: F401  (importing layer_types registers the built-in types)
from .backward_marking import Node, mark_backward
from .blob import Blob
from .common import CaffeError
from .layer import create_layer
from .net_calls import NetCalls
from .net_weights import (
    copy_trained_layers,
    load_hdf5_layers,
    save_hdf5_layers,
    save_trained_layers,
    share_trained_layers,
)
from .param_sharing import ParamTable
from .proto import caffe_pb2
from .recompute_plan import RecomputePlan
from .util.files import as_message
from .util.filter_net import filter_net
from .util.insert_splits import insert_splits
from .util.upgrade import upgrade_net

AUTOMATIC = "(automatic)"       # Caffe's name of tops that loss layers have and the prototxt leaves out


class Net(NetCalls):
    """Net(prototxt, phase), Net(prototxt, caffemodel, phase), Net(prototxt, phase, weights=..., level=, stages=).

    blobs     OrderedDict of name -> Blob            params   OrderedDict of layer name -> [Blob, ...]
    layers    list of Layer                          layer_dict  OrderedDict of name -> Layer
    inputs, outputs   names of the Input layers' tops, and of the tops nobody reads
    top_names, bottom_names   OrderedDict of layer name -> blob names
    Of two layers of one name the later one is found under it, as in pycaffe; `layers` has both.
    Raises CaffeError for anything wrong in the prototxt or the weights.
    """

    def __init__(self, network_file, *args, phase=None, weights=None, level=0, stages=None):
        if len(args) == 2 and not isinstance(args[0], int):         # the older order
            weights, phase = args
        elif args:
            if len(args) > 4:
                raise CaffeError("Net(%r): %d arguments after the file; the most are phase, level, stages, weights"
                                 % (str(network_file), len(args)))
            phase, level, stages, weights = args + (level, stages, weights)[len(args) - 1:]
        if phase not in (common.TRAIN, common.TEST):
            raise CaffeError("Net(%r): give the phase, caffe.TRAIN or caffe.TEST (got %r)" % (str(network_file), phase))
        param = as_message(network_file, caffe_pb2.NetParameter)
        source = str(network_file) if isinstance(network_file, (str, os.PathLike)) else "net"
        state = caffe_pb2.NetState(phase=int(phase), level=level, stage=stages or ())
        self._build(prepare_net(param, state, source))
        if weights:
            self.copy_from(weights)

    # ---- building

    def _build(self, param):
        self.name, self.phase = param.name, common.Phase(param.state.phase)
        self.layers, self._layer_names, self.layer_dict = [], [], OrderedDict()
        self.blobs, self.params = OrderedDict(), OrderedDict()
        self.top_names, self.bottom_names = OrderedDict(), OrderedDict()
        self._blobs, self._blob_names, self._inputs = [], [], []       # lists: two layers, or tops, may have one name
        self._bottoms, self._tops, self._loss_weights = [], [], []
        self._table, self._nodes, self._unread, self._producer = ParamTable(), [], OrderedDict(), {}
        self._blob_needs = {}
        self._callbacks = {"before_forward": [], "after_forward": [], "before_backward": [], "after_backward": []}
        for layer_param in param.layer:
            self._append_layer(layer_param)
        self._outputs = [self._blob_names.index(name) for name in sorted(self._unread)]
        mark_backward(self._nodes, param.force_backward)
        for layer, node in zip(self.layers, self._nodes):
            layer.needs_backward = node.needs
            if param.force_backward:
                layer.param_propagate_down = [True] * len(layer.blobs)
        self._recompute_plan = RecomputePlan(self.phase, self.layers, self._nodes, self._bottoms, self._tops)
        self._param = param

    def _append_layer(self, layer_param):
        if not layer_param.HasField("phase"):
            layer_param.phase = int(self.phase)
        layer = create_layer(layer_param)
        bottoms = self._connect_bottoms(layer_param)
        layer.made_by = [self._maker_type(name) for name in layer_param.bottom]
        needs_bottom = [self._blob_needs[name] for name in layer_param.bottom]
        tops = self._connect_tops(layer, layer_param)
        _check_arity(layer, bottoms, tops)
        with _told_of(layer):
            layer.setup(bottoms, tops)
            layer.reshape(bottoms, tops)
        _copy_blobs_of_prototxt(layer, layer_param)
        weights = _loss_weights(layer, layer_param, tops)
        learns = self._append_params(layer, layer_param)
        needs = any(needs_bottom) or any(learns)
        for name in layer_param.top:
            self._blob_needs[name] = needs
        self._register(layer, layer_param, bottoms, tops, weights)
        self._fill_loss_diffs(len(self.layers) - 1)
        down = list(layer_param.propagate_down)
        self._nodes.append(Node(list(layer_param.bottom), self.top_names[layer_param.name], down or needs_bottom, needs,
                                [bool(w) for w in weights],
                                [layer.allow_force_backward(i) for i in range(len(bottoms))]))

    def _connect_bottoms(self, layer_param):
        if len(layer_param.propagate_down) not in (0, len(layer_param.bottom)):
            raise CaffeError("layer %s: %d propagate_down for %d bottoms; give none, or one for each"
                             % (layer_param.name, len(layer_param.propagate_down), len(layer_param.bottom)))
        for i, name in enumerate(layer_param.bottom):
            if name not in self._unread:
                raise CaffeError("layer %s: unknown bottom blob %r (bottom %d)" % (layer_param.name, name, i))
            del self._unread[name]
        return [self.blobs[name] for name in layer_param.bottom]

    def _connect_tops(self, layer, layer_param):
        for i, name in enumerate(layer_param.top):
            in_place = i < len(layer_param.bottom) and layer_param.bottom[i] == name
            if in_place:
                layer.may_overwrite = not self._producer[name].reads_top
                self._mark_overwritten(name)
            elif name in self.blobs:
                raise CaffeError("layer %s: top blob %r is made by layer %s already; give it another name"
                                 % (layer_param.name, name, self._producer[name].name))
            else:
                self._add_blob(name)
                if layer_param.type == "Input":
                    self._inputs.append(len(self._blobs) - 1)
            self._producer[name] = layer
            self._unread[name] = True
        automatic = max(0, layer.tops[0] - len(layer_param.top)) if layer.auto_top else 0
        return [self.blobs[name] for name in layer_param.top] + [self._add_blob(AUTOMATIC) for _ in range(automatic)]

    def _mark_overwritten(self, name):
        """Tell the layer that made blob `name`, and those whose memory it shares, that a later one writes over it."""
        layer = self._producer[name]
        layer.overwritten = True
        for bottom in layer.layer_param.bottom if layer.shares_data else ():
            self._mark_overwritten(bottom)

    def _maker_type(self, name):
        """The type of the layer that computed blob `name`; layers that share memory are passed."""
        maker = self._producer[name]
        return self._maker_type(maker.layer_param.bottom[0]) if maker.shares_data else maker.layer_param.type

    def _add_blob(self, name):
        self._blobs.append(Blob())
        self._blob_names.append(name)
        self.blobs[name] = self._blobs[-1]
        return self._blobs[-1]

    def _append_params(self, layer, layer_param):
        """Enter the layer's blobs into the table; returns which of them learn."""
        if len(layer_param.param) > len(layer.blobs):
            raise CaffeError("layer %s (%s): %d param entries, but the layer has %d parameters"
                             % (layer.name, layer.type, len(layer_param.param), len(layer.blobs)))
        specs = list(layer_param.param) + [caffe_pb2.ParamSpec()] * (len(layer.blobs) - len(layer_param.param))
        for i, spec in enumerate(specs):
            self._table.add(layer, i, spec)
        layer.param_propagate_down = [spec.lr_mult != 0 for spec in specs]
        if layer.blobs:
            self.params[layer_param.name] = layer.blobs
        return layer.param_propagate_down

    def _register(self, layer, layer_param, bottoms, tops, weights):
        """Enter the layer; by its prototxt's name, as a Python layer may use `self.name` for something else."""
        name = layer_param.name
        self.layers.append(layer)
        self._layer_names.append(name)
        self.layer_dict[name] = layer
        self.bottom_names[name] = list(layer_param.bottom)
        self.top_names[name] = list(layer_param.top) + [AUTOMATIC] * (len(tops) - len(layer_param.top))
        self._bottoms.append(bottoms)
        self._tops.append(tops)
        self._loss_weights.append(weights)

    # ---- running

    def before_forward(self, callback):
        """Call callback(layer number) before each layer's forward from now on, as pycaffe's."""
        self._callbacks["before_forward"].append(callback)

    def after_forward(self, callback):
        """Call callback(layer number) after each layer's forward from now on."""
        self._callbacks["after_forward"].append(callback)

    def before_backward(self, callback):
        """Call callback(layer number) before each layer's backward from now on, where backward skips the layer too."""
        self._callbacks["before_backward"].append(callback)

    def after_backward(self, callback):
        """Call callback(layer number) after each layer's backward from now on, where backward skips the layer too."""
        self._callbacks["after_backward"].append(callback)

    def _call(self, when, layer_number):
        callbacks = self._callbacks[when]
        if callbacks or self.layers[layer_number].layer_param.type == "Python":
            self.show_views()
        for callback in callbacks:
            callback(layer_number)

    def show_views(self):
        """Have the numpy views that users hold show what layers gave: after a pass, and before users' code in it."""
        if common.device().type != "cpu":       # where a view shows what was fetched last
            return
        for blob in (*self.blobs.values(), *self.learnable_params):
            blob.show_views()

    def forward_from_to(self, first=0, last=None):
        """Run layers first..last (numbers); returns the weighted loss as a tensor of no axes on the current device."""
        loss = torch.zeros((), dtype=common.dtype(), device=common.device())
        i = first
        try:
            for i in range(first, len(self.layers) if last is None else last + 1):
                loss = self._forward_layer(i, loss)
        except torch.OutOfMemoryError as e:
            raise self._out_of_memory(i, "forward", e) from e
        finally:
            self.show_views()
        return loss

    def _out_of_memory(self, i, way, error):
        """The CaffeError for a GPU whose memory does not suffice for layer i."""
        layer = self.layers[i]
        shapes = ", ".join(str(blob.shape) for blob in (*self._bottoms[i], *self._tops[i]))
        return common.CaffeError(f"layer {layer.name} ({layer.type}): the GPU has no memory left for its {way} pass "
                                 f"over {shapes}: {_first_sentences(error)} Use smaller images or fewer of them, fewer "
                                 "RoIs, or another GPU")

    def _forward_layer(self, i, loss):
        layer, bottom, top = self.layers[i], self._bottoms[i], self._tops[i]
        self._call("before_forward", i)
        with _told_of(layer):
            layer.reshape(bottom, top)
            self._fill_loss_diffs(i)
            recomputation = self._recompute_plan.recomputation(i)
            layer.forward(bottom, top)
        layer.note_versions(bottom)
        for blob, weight in zip(top, self._loss_weights[i]):
            if weight:
                loss = loss + (blob.tensor * blob.diff_tensor).sum()
        self._recompute_plan.done(i, recomputation)
        self._call("after_forward", i)
        return loss

    def _fill_loss_diffs(self, i):
        """A loss top's diff holds its weight, as Caffe's; set when the diff is new, so that a user may change it."""
        for blob, weight in zip(self._tops[i], self._loss_weights[i]):
            if weight and not blob.has_diff:
                blob.diff_tensor = torch.full(blob.shape, weight, dtype=common.dtype(), device=common.device())

    def begin_pass(self):
        """Free what the last pass made, as long as forward and backward over all layers come next (Solver says so)."""
        self._recompute_plan.begin_pass()

    def backward_from_to(self, first=None, last=0):
        """Run backward over layers first..last (numbers, first >= last)."""
        i = first = len(self.layers) - 1 if first is None else first
        try:
            for i in range(first, last - 1, -1):
                node = self._nodes[i]
                self._call("before_backward", i)
                if node.needs:
                    with _told_of(self.layers[i]):
                        self.layers[i].backward(self._tops[i], node.bottom_needs, self._bottoms[i])
                self._call("after_backward", i)
        except torch.OutOfMemoryError as e:
            raise self._out_of_memory(i, "backward", e) from e
        finally:
            self.show_views()

    def reshape(self):
        """Give every blob the shape that follows from the inputs' shapes now."""
        for layer, bottom, top in zip(self.layers, self._bottoms, self._tops):
            with _told_of(layer):
                layer.reshape(bottom, top)

    # ---- parameters

    @property
    def learnable_params(self):
        """[Blob]: each parameter once, shared ones under their owner."""
        return [p.blob for p in self._table.params]

    @property
    def param_multipliers(self):
        """[(lr_mult, decay_mult)] of learnable_params."""
        return self._table.multipliers()

    def loss_weight(self, blob_name):
        """The weight with which a blob counts into the objective; 0 for most."""
        return self.blob_loss_weights.get(blob_name, 0)

    def clear_param_diffs(self):
        """Set all parameter diffs to zero."""
        for blob in self.learnable_params:
            blob.zero_diff()

    def copy_from(self, weights):
        """Load a caffemodel or HDF5 weights by layer names; logs what came from it, and what keeps its filler."""
        copy_trained_layers(self, str(weights))

    def load_hdf5(self, filename):
        """Load HDF5 weights by layer names, as copy_from does."""
        load_hdf5_layers(self, str(filename))

    def save_hdf5(self, filename, write_diff=False):
        """Write the parameters as HDF5: data/<layer>/0, 1, ...; with write_diff also diff/<layer>/0, 1, ..."""
        save_hdf5_layers(self, str(filename), write_diff)

    def share_with(self, other):
        """Use the parameters of the layers of the same name in another Net, without copying them."""
        share_trained_layers(self, other)

    def save(self, filename):
        """Write a caffemodel.  Copies of shared parameters in layers that never run backward are left out."""
        save_trained_layers(self, str(filename))


def prepare_net(net_param, state, source="net"):
    """NetParameter as written -> as built: upgraded, filtered by `state`, Split layers inserted."""
    param = upgrade_net(net_param, source)
    param.state.MergeFrom(state)
    return insert_splits(filter_net(param))


@contextmanager
def _told_of(layer):
    """Put the layer's name before an error of the user that lacks it; memory that is not there is one line too."""
    who = f"layer {layer.layer_param.name} ({layer.layer_param.type})"
    try:
        yield
    except CaffeError as e:
        if str(e).startswith("layer ") or type(e) is not CaffeError:
            raise
        raise CaffeError(f"{who}: {e}") from e
    except (MemoryError, RuntimeError) as e:
        if isinstance(e, torch.OutOfMemoryError) or not _lacks_memory(e):
            raise
        raise CaffeError(f"{who}: the machine has no memory left for what it computes ({_first_sentences(e)[:200]}); "
                         "give it smaller bottoms or settings") from e


def _lacks_memory(error):
    text = str(error)
    return isinstance(error, MemoryError) or "can't allocate memory" in text or "size calculation overflowed" in text


def _check_arity(layer, bottoms, tops):
    for what, count, (least, most) in (("bottom", len(bottoms), layer.bottoms), ("top", len(tops), layer.tops)):
        if count < least or (most is not None and count > most):
            wanted = "%d or more" % least if most is None else "%d to %d" % (least, most)
            wanted = str(least) if least == most else wanted
            layer.fail("expected %s %s blob(s), got %d" % (wanted, what, count))
    if layer.equal_bottom_top and len(bottoms) != len(tops):
        layer.fail("expected as many tops as bottoms, got %d bottoms and %d tops" % (len(bottoms), len(tops)))


def _loss_weights(layer, layer_param, tops):
    """One weight a top: the prototxt's, else 1 for the first top of a loss layer, else 0."""
    given = list(layer_param.loss_weight)
    if given and len(given) != len(tops):
        layer.fail("%d loss_weight for %d tops; give none, or one for each" % (len(given), len(tops)))
    if not all(math.isfinite(weight) for weight in given):
        layer.fail("loss_weight is %s; expected finite numbers" % given)
    return given or [float(layer.is_loss and i == 0) for i in range(len(tops))]


def _copy_blobs_of_prototxt(layer, layer_param):
    """A prototxt may carry weights itself (layer { blobs {...} })."""
    if not layer_param.blobs:
        return
    if len(layer_param.blobs) != len(layer.blobs):
        layer.fail("the prototxt holds %d blobs for %d parameters" % (len(layer_param.blobs), len(layer.blobs)))
    for blob, given in zip(layer.blobs, layer_param.blobs):
        blob.data.flat[...] = given.data


def _first_sentences(error):
    """What PyTorch's error says of the sizes, without its advice on its own settings."""
    text = " ".join(str(error).split())
    return text.partition(" If reserved ")[0].removesuffix(".") + "."
