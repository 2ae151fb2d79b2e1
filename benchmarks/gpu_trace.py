#!/usr/bin/env python
"""A trace of OHEM training on a CUDA device: which kernels take the time, how busy the GPU is, where it waits.

    .venv/bin/python benchmarks/gpu_trace.py                                  # VGG16 in bf16, five iterations
    .venv/bin/python benchmarks/gpu_trace.py --precision float32 --trace output/bench/trace.json

An iteration is one pass (iter_size 1) over one image.  --trace writes a file for chrome://tracing or Perfetto.
"""
import argparse
import json
import time

import _paths
import caffe
import torch
from _inputs import Sizes, minibatch
from _ours import precision, training_solver
from fast_rcnn.config import cfg
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

WARMUP = 5
UNTRACED = 20
KERNELS, GAPS = 25, 10      # that are listed


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", default="VGG16", help="default: VGG16")
    parser.add_argument("--precision", default="bf16", choices=("float32", "tf32", "bf16"))
    parser.add_argument("--iterations", type=int, default=5, metavar="N", help="that are traced (default: 5)")
    parser.add_argument("--width", type=int, default=1000, help="of the image, 600 high (default: 1000)")
    parser.add_argument("--out", default=str(_paths.ROOT / "output" / "bench" / "gpu_trace.json"), metavar="FILE")
    parser.add_argument("--trace", metavar="FILE", help="also write every kernel and its time")
    return parser.parse_args()


def traced(net_name, width, iterations):
    """The profile of `iterations` solver iterations after a warm-up, and the milliseconds of one without it."""
    sizes = Sizes(width=width)
    cfg.TRAIN.BATCH_SIZE = sizes.batch
    solver = training_solver(net_name, "fast_rcnn_ohem", minibatch(sizes, sizes.rois))
    solver.step(WARMUP)
    torch.cuda.synchronize()
    start = time.perf_counter()
    solver.step(UNTRACED)
    torch.cuda.synchronize()
    untraced = 1e3 * (time.perf_counter() - start) / UNTRACED
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        solver.step(iterations)
        torch.cuda.synchronize()
    return found, untraced


def kernels(events):
    """[(start, end, name)] of what ran on the device, in microseconds, in the order of the starts."""
    on_device = [e for e in events if e.device_type == DeviceType.CUDA]
    return sorted((e.time_range.start, e.time_range.end, e.name) for e in on_device)


def busy(spans):
    """Microseconds in which at least one kernel ran."""
    total, until = 0.0, float("-inf")
    for start, end, _ in spans:
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def gaps(spans, count):
    """The longest waits of the device: [(microseconds, kernel before, kernel after)]."""
    found, until, last = [], None, ""
    for start, end, name in spans:
        if until is not None and start > until:
            found.append((start - until, last, name))
        if until is None or end > until:
            until, last = end, name
    return sorted(found, reverse=True)[:count]


def by_name(spans):
    """{kernel name: [microseconds, launches]}, the most expensive first."""
    spent = {}
    for start, end, name in spans:
        entry = spent.setdefault(name, [0.0, 0])
        entry[0] += end - start
        entry[1] += 1
    return dict(sorted(spent.items(), key=lambda item: -item[1][0]))


def summary(spans, iterations):
    """The figures of a trace as a dict; times in milliseconds an iteration."""
    whole = max(end for _, end, _ in spans) - spans[0][0]
    per_iteration = 1e-3 / iterations
    return {"iterations": iterations, "ms": whole * per_iteration, "busy": busy(spans) / whole,
            "launches": len(spans) / iterations,
            "kernels": [{"name": name, "ms": spent * per_iteration, "launches": count / iterations}
                        for name, (spent, count) in list(by_name(spans).items())[:KERNELS]],
            "gaps": [{"us": wait, "after": before, "before": after} for wait, before, after in gaps(spans, GAPS)]}


def report(found):
    """The summary as lines for the terminal."""
    yield (f"{found['ms_untraced']:.2f} ms an iteration, {found['ms']:.2f} ms while traced; "
           f"the GPU is busy {100 * found['busy']:.0f} % of it; "
           f"{found['launches']:.0f} kernels and copies an iteration")
    for kernel in found["kernels"]:
        yield f"{kernel['ms']:8.3f} ms {kernel['launches']:6.1f} x  {kernel['name'][:110]}"
    for gap in found["gaps"]:
        yield f"{gap['us']:8.0f} us idle between {gap['after'][:60]} and {gap['before'][:60]}"


def main():
    args = parse_args()
    if not torch.cuda.is_available():
        raise SystemExit(f"error: benchmarks/gpu_trace.py: PyTorch {torch.__version__} finds no CUDA device")
    caffe.keep_freed_memory()       # as the tools
    caffe.set_log_level(1)
    caffe.set_mode_gpu()
    with precision(args.precision):
        profiled, untraced = traced(args.net, args.width, args.iterations)
    found = summary(kernels(profiled.events()), args.iterations)
    found.update(ms_untraced=untraced, net=args.net, precision=args.precision, width=args.width,
                 device=torch.cuda.get_device_name())
    print("\n".join(report(found)))
    _paths.Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    with open(args.out, "w", encoding="utf-8") as f:
        json.dump(found, f, indent=1)
    print(f"written: {args.out}")
    if args.trace:
        profiled.export_chrome_trace(args.trace)


if __name__ == "__main__":
    main()
