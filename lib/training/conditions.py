"""Under which conditions a run runs: what may change while it goes on, and is told when it does."""
import caffe
from fast_rcnn.config import cfg


def conditions_of(iterations, solver_param, paths):
    """{name: value}; paths: {name: path} of what a run was started with, None where the command does not say."""
    return {"iterations": iterations, "processes": caffe.solver_count(), "iter_size": solver_param.iter_size,
            "device": caffe.device_name(), "precision": caffe.precision(), "display": solver_param.display,
            "snapshot interval": cfg.TRAIN.SNAPSHOT_ITERS, **paths}


def tell_changes(before, now):
    """Print one line of the conditions that are not as before, if any; those unknown on a side are left out."""
    changes = [f"{name} {now[name]}, not {before[name]}" for name in now
               if None not in (now[name], before.get(name)) and now[name] != before[name]]
    if changes:
        print("Unlike before: " + "; ".join(changes), flush=True)
