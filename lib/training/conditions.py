"""The conditions of a run: settings that may change when it is resumed. Changes are logged."""
from fast_rcnn.config import cfg
from utils.caffe_extensions import device_name, precision, solver_count


def conditions_of(iterations, solver_param, paths):
    """{name: value}; paths: {name: path} of the files a run was started with, None if not given."""
    return {"iterations": iterations, "processes": solver_count(), "iter_size": solver_param.iter_size,
            "device": device_name(), "precision": precision(), "display": solver_param.display,
            "snapshot interval": cfg.TRAIN.SNAPSHOT_ITERS, **paths}


def tell_changes(before, now):
    """Print the conditions that have changed in one line, if any; conditions unknown on either side are left out."""
    changes = [f"{name} {now[name]}, not {before[name]}" for name in now
               if None not in (now[name], before.get(name)) and now[name] != before[name]]
    if changes:
        print("Changed since the last start: " + "; ".join(changes), flush=True)
