"""Peak resident memory of OHEM training at 600 x 1000 with 2000 RoIs: the whole program, in a process of its own."""
import tempfile

from _report import Row
from _worker import run_worker

WIDTH = 1000
STEPS = 4           # of two passes: holes between arrays would show only after some
LIMIT = {"VGG16": 3.4}      # GB that are asked for; the C++ Caffe takes 6.7


def cases(sizes):
    """{case name: function of the settings}."""
    return {"memory/%s" % net: lambda settings, net=net: _measure(settings, net) for net in sizes.nets[-1:]}


def _measure(settings, net_name):
    """Rows: both precisions, each beside the plain PyTorch net."""
    peer = _peak(settings, net_name, "plain", "float32")["gb"]
    rows = []
    for precision in ("float32", "bf16"):
        taken = _peak(settings, net_name, "ours", precision)
        note = "%.2f GB with the snapshot" % taken["gb_with_snapshot"]
        rows.append(Row("memory/%s/%s" % (net_name, precision), taken["gb"], peer, "plain PyTorch in float32",
                        LIMIT.get(net_name), 1 if net_name in LIMIT else None, "limit", "GB", note))
    return rows


def _peak(settings, net_name, method, precision):
    sizes = settings.sizes
    width = sizes.width * WIDTH // 800
    with tempfile.TemporaryDirectory() as folder:
        return run_worker("_train_worker.py", net_name, method, precision, folder, sizes.height, width, sizes.rois,
                          STEPS)
