"""What the layers of a fork lack, beside ours, in a train net, and what cannot be had then: docs/own_layers.md."""
from utils import caffe_extensions
from utils.errors import UserError

STATEFUL = ("sampler_state", "set_sampler_state")
PAGE = "docs/own_layers.md"


def is_stateful(layer) -> bool:
    """Whether a data layer tells where it stands, and continues from there."""
    return all(hasattr(layer, name) for name in STATEFUL)


def tell_stateless(layers):
    """A line for each data layer that does not tell where it stands; UserError if several processes train with it."""
    for layer in layers:
        if is_stateful(layer):
            continue
        count = caffe_extensions.solver_count()
        if count > 1:
            raise UserError("data layer %s has no sampler_state, so each of the %d processes would draw the same "
                            "minibatches; train in one process, or see %s" % (_name(layer), count, PAGE))
        print("Data layer %s has no sampler_state and set_sampler_state, so nobody knows where it stands: a resumed "
              "training begins a new epoch, and exact resume cannot be had (%s)" % (_name(layer), PAGE), flush=True)


def tell_unknown_mining(names):
    """A line for layers, classes by name, that are taken to mine although nothing says that they do."""
    print("TRAIN.USE_OHEM is True and the net has no OHEMDataLayer: its own %s gets all RoIs, and is taken to choose "
          "the hard ones" % " and ".join(names), flush=True)


def tell_no_statistics():
    """A line for a mining net none of whose layers appends to a list `mined`."""
    print("No layer of the net tells which RoIs it mines (a list `mined`), so metrics.csv has no figures of mining (%s)"
          % PAGE, flush=True)


def _name(layer):
    return "%s.%s" % (type(layer).__module__, type(layer).__name__)
