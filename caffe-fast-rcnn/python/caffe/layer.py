"""Layer: the contract all layers keep, built in or written by users in Python, and the registry of types.

Life of a layer: `setup(bottom, top)` once; then, for every pass, `reshape(bottom, top)`, `forward(bottom, top)` and
perhaps `backward(top, propagate_down, bottom)`.  bottom and top are lists of Blob.  forward overwrites top data;
backward overwrites the diffs of the bottoms it is asked for and adds to the diffs of the parameters (`self.blobs`).
"""
import torch

from . import common
from .blob import BlobVec
from .host_side import seen_by_numpy
from .memory_limit import require_memory
from .util.forks import forks_of_type, sentence_about

_REGISTRY: dict[str, type] = {}


def register(type_name):
    """Class decorator: this class is the prototxt's `type: "<type_name>"`."""
    def enter(cls):
        if type_name in _REGISTRY:
            raise ValueError("layer type %s is registered twice" % type_name)
        _REGISTRY[type_name] = cls
        cls.type = type_name
        return cls
    return enter


def layer_type_list():
    """Names of all layer types, sorted."""
    return sorted(_REGISTRY)


def create_layer(layer_param):
    """The layer object of a LayerParameter.  Raises CaffeError for an unknown type."""
    cls = _REGISTRY.get(layer_param.type)
    if cls is None:
        about = sentence_about("it", forks_of_type(layer_param.type))
        if about:
            raise common.CaffeError(f"layer {layer_param.name}: unknown layer type {layer_param.type!r}: {about}")
        import difflib
        near = difflib.get_close_matches(layer_param.type, _REGISTRY, n=1, cutoff=0.5)
        raise common.CaffeError("layer %s: unknown layer type %r%s; known types: %s" % (
            layer_param.name, layer_param.type, " (did you mean %s?)" % near[0] if near else "",
            ", ".join(layer_type_list())))
    return cls(layer_param)


class Layer:
    """Base of every layer.

    A built-in layer that is a pure function of its bottoms and parameters defines `function(*bottoms, *parameters)`
    on torch tensors and inherits forward and backward (torch's autograd on this one layer).  Hot layers, and users'
    Python layers, define `forward` and `backward` themselves.

    Declared by a class:
    bottoms, tops   (least, most) number of blobs; most None: no limit
    equal_bottom_top  as many tops as bottoms
    is_loss         top 0 counts into the objective with weight 1 unless the prototxt says otherwise
    auto_top        tops missing in the prototxt are made (loss layers)
    reads_top       backward needs the top's numbers as forward left them, so an in-place layer behind it must not
                    overwrite their memory
    repeatable      forward gives the same top again from the same bottoms and parameters, and remembers nothing of it
    shares_data     the tops are the bottom's memory
    """

    type: str | None = None
    bottoms: tuple[int, int | None] = (1, 1)
    tops: tuple[int, int | None] = (1, 1)
    equal_bottom_top = False
    is_loss = False
    auto_top = False
    reads_top = True
    repeatable = False
    shares_data = False

    def __init__(self, layer_param):
        self.layer_param = layer_param
        self.name = layer_param.name
        self.phase = common.Phase(layer_param.phase)
        self.blobs = BlobVec()
        # Set by Net:
        self.param_propagate_down = []      # for each of self.blobs: does it learn?
        self.made_by = []                   # for each bottom: the type of the layer that computed it
        self.needs_backward = True          # False: keep nothing for backward
        self.may_overwrite = False          # in-place: the bottom's memory may be written
        self.overwritten = False            # a later layer works in place on the top, or on memory that it shares
        self._leaves = self._outputs = None
        self._versions: dict[int, int] = {}     # of the bottoms and parameters, by id, when forward ended

    # ---- the contract

    def setup(self, bottom, top):
        """Read the settings, check them, make self.blobs."""

    def reshape(self, bottom, top):
        """Give every top its shape."""

    def forward(self, bottom, top):
        if not self.needs_backward:
            inputs = [blob.tensor for blob in (*bottom, *self.blobs)]
            with torch.no_grad():
                outputs = self.function(*inputs)
            self._leaves = self._outputs = None
        else:
            # `data`, not `detach()`: as in Caffe, backward takes the numbers that are there then.  An update of the
            # weights or a partial forward may have written new ones into the same memory.  In place, views of the
            # bottom soon show the top.
            inputs = [self.kept(b) if b in top else b.tensor for b in bottom] + [p.tensor for p in self.blobs]
            inputs = [x.data.requires_grad_() for x in inputs]
            with torch.enable_grad():
                outputs = self.function(*inputs)
            outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
            self._leaves, self._outputs = inputs, outputs
        outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
        for blob, out in zip(top, outputs):
            blob.tensor = out.detach()

    def backward(self, top, propagate_down, bottom):
        if self._leaves is None:
            self.fail("this layer has no backward(self, top, propagate_down, bottom) of its own; define it, or stop "
                      "backward with propagate_down: false")
        self._take_changes(top, bottom)
        wanted = list(propagate_down) + list(self.param_propagate_down or [True] * len(self.blobs))
        leaves = [x for x, want in zip(self._leaves, wanted) if want]
        outputs = [(y, t.diff_tensor) for y, t in zip(self._outputs, top) if y.requires_grad]
        grads = iter([None] * len(leaves))
        if leaves and outputs:
            grads = iter(torch.autograd.grad([y for y, _ in outputs], leaves, [g for _, g in outputs],
                                             retain_graph=True, allow_unused=True))
        for i, want in enumerate(wanted):
            if not want:
                continue
            grad = next(grads)
            if i >= len(bottom):
                if grad is not None:
                    self.blobs[i - len(bottom)].add_diff(grad)
            else:
                bottom[i].diff_tensor = torch.zeros_like(bottom[i].tensor) if grad is None else grad

    def _take_changes(self, top, bottom):
        """Apply `function` again if a bottom or a parameter was written since forward: backward takes the numbers that
        are there now, as in Caffe.  A bottom that forward itself overwrote, in place, is as it was kept."""
        blobs = [*bottom, *self.blobs]
        is_changed = [blob not in top and self.changed(blob) for blob in blobs]
        if not any(is_changed):
            return
        inputs = [blob.tensor.data.requires_grad_() if changed else leaf.detach().requires_grad_()
                  for blob, changed, leaf in zip(blobs, is_changed, self._leaves)]
        with torch.enable_grad():
            outputs = self.function(*inputs)
        self._leaves = inputs
        self._outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)

    def release(self):
        """Give up what forward kept for backward: another forward comes first."""
        self._leaves = self._outputs = None

    def data_position(self):
        """Whole numbers that say which data follow, for a solverstate; none: the layer reads no data."""
        return []

    def set_data_position(self, numbers):
        """Continue where `data_position` was taken."""

    def allow_force_backward(self, bottom_index):
        """Whether `force_backward: true` reaches this bottom (labels: no)."""
        return True

    # ---- for layers

    def rows_of(self, blob):
        """Blob.rows of a bottom, for a layer that works row by row; with all rows where backward will need them."""
        return (blob.tensor, None) if self.needs_backward else blob.rows()

    def note_versions(self, bottom):
        """Remember, at the end of forward, which numbers forward saw; Net calls it."""
        self._versions = {id(blob): blob.version for blob in (*bottom, *self.blobs)}

    def changed(self, blob):
        """Whether `blob`, a bottom or a parameter, was written since forward, or handed out to be written."""
        return self._versions.get(id(blob), blob.version) != blob.version

    def kept(self, blob):
        """The numbers of a bottom for a backward that takes them as forward saw them, whatever a user writes since."""
        tensor = blob.tensor
        return tensor.clone() if seen_by_numpy(tensor) else tensor

    def numbers_of(self, top, kept):
        """What backward takes for the numbers of `top`, which forward `kept`: as in Caffe, those there now.

        A user may have written them since.  Where a later layer works in place on them it is what was kept.
        """
        return kept if self.overwritten else top.tensor

    def learns(self, param_index):
        """Whether backward must add to the diff of self.blobs[param_index]."""
        return self.param_propagate_down[param_index] if self.param_propagate_down else True

    def require_memory(self, count, what):
        """Raise CaffeError if `count` numbers are more than the machine has memory for; what: "its padded bottom"."""
        try:
            require_memory(count * common.dtype().itemsize, what)
        except common.CaffeError as e:
            self.fail(e)

    def fail(self, message):
        """Raise CaffeError naming this layer."""
        raise common.CaffeError("layer %s (%s): %s" % (self.name, self.type, message))

    def canonical_axis(self, axis, axes):
        """A possibly negative axis as 0 <= axis < axes; raises CaffeError outside."""
        if not -axes <= axis < axes:
            self.fail("axis %d outside a blob of %d axes" % (axis, axes))
        return axis % axes
