#!/usr/bin/env python
"""Measures OHEM training on a CUDA device: seconds, memory, layers and kernels, beside plain PyTorch and the limits.

    .venv/bin/python benchmarks/gpu.py                         # both nets in float32, tf32 and bf16
    .venv/bin/python benchmarks/gpu.py --nets VGG16 --precisions bf16
    .venv/bin/python benchmarks/gpu.py --device cpu --tiny     # to see that everything runs; measures nothing

An iteration of solver.step here is one pass (iter_size 1) over one image, of 600 x 1000 pixels unless --width says
otherwise, with its update; the layer table is of passes without the update.
The table goes to the terminal and, with what depends on it, to output/bench/gpu.json.
"""
import argparse
import time
from dataclasses import replace

import _paths
import _report
import caffe
import torch
from _gpu_kernels import rows as kernel_rows
from _gpu_machine import MODES, Machine
from _inputs import Sizes, minibatch
from _ours import RATE, plain_params, precision, training_solver
from _plain import PlainNet, training_step
from _report import Row
from fast_rcnn.config import cfg
from roi_data_layer.ohem import roi_losses, select_hard
from torch.utils.flop_counter import FlopCounterMode


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--nets", nargs="*", metavar="NET", help="default: both; none: the kernels alone")
    parser.add_argument("--precisions", nargs="+", default=list(MODES), choices=list(MODES), metavar="NAME")
    parser.add_argument("--repeats", type=int, default=20, help="iterations each median is of (default: 20)")
    parser.add_argument("--width", type=int, metavar="PIXELS", help="of the image, 600 high (default: 1000)")
    parser.add_argument("--batch", type=int, metavar="ROIS", help="hard RoIs of a pass (default: 64)")
    parser.add_argument("--tiny", action="store_true", help="a small problem and VGG_CNN_M_1024 alone")
    parser.add_argument("--out", default=str(_paths.ROOT / "output" / "bench" / "gpu.json"), metavar="FILE")
    return parser.parse_args()


def iteration_rows(machine, sizes, net_name, repeats, precisions):
    """Rows of seconds and of memory for each precision, of one OHEM iteration over one image; prints layer times."""
    blobs = minibatch(sizes, sizes.rois)
    cfg.TRAIN.BATCH_SIZE = sizes.batch
    solver, found = training_solver(net_name, "fast_rcnn_ohem", blobs), []
    memory = {name: _peak_of_solver(machine, solver, name) for name in precisions}
    for name in precisions:
        with precision(name):
            print(_layer_table(layer_seconds(machine, solver.net, repeats), net_name, name), flush=True)
    held = machine.held_gb()
    step = plain_step(machine, net_name, solver, blobs, sizes.batch)
    with FlopCounterMode(display=False) as counter:
        step(False)
    for name in precisions:
        limit = machine.limit(name, counter.get_total_flops(), _least_bytes(solver.net))
        with precision(name):
            found += _beside_peer(machine, name, solver, step, repeats, limit, memory[name], held)
    return [replace(row, name="gpu/train/%s/ohem/%s" % (net_name, row.name)) for row in found]


def _beside_peer(machine, name, solver, step, repeats, limit, peak, held):
    """The rows of one precision; peak: the solver's memory; held: what was taken before the peer was made."""
    autocast = name == "bf16" and machine.device.type == "cuda"       # on the CPU it may take minutes
    seconds = machine.seconds({"ours": lambda: solver.step(1), "peer": lambda: step(autocast)}, repeats)
    peer_peak = machine.peak_gb(lambda: step(autocast))
    rows = [Row(name, seconds["ours"], seconds["peer"], "plain PyTorch" + ", autocast" * autocast, limit, 1.05,
                note="an iteration of one pass; %.0f %% of the limit's rate" % (100 * limit / seconds["ours"]))]
    if peak is not None:
        rows.append(Row(name + "/memory", peak, peer_peak - held, "plain PyTorch", unit="GB"))
    return rows


def _least_bytes(net):
    """Blobs written and read forward and backward; weights, diffs and history read, two of them written."""
    activations = sum(blob.count for blob in net.blobs.values())
    return 4 * (4 * activations + 5 * sum(blob.count for blob in net.learnable_params))


def _peak_of_solver(machine, solver, name):
    with precision(name):
        solver.step(2)
        return machine.peak_gb(lambda: solver.step(1))


def plain_step(machine, net_name, solver, blobs, hard):
    """step(bf16): the peer's iteration, from the solver's weights."""
    plain = PlainNet(net_name, plain_params(solver.net), device=machine.device)
    tensors = {name: torch.tensor(blob, device=machine.device) for name, blob in blobs.items()}
    optimizer = plain.optimizer(RATE)

    def mine(prob, boxes):
        loss = roi_losses(prob.cpu().numpy(), blobs["labels"], boxes.cpu().numpy(), blobs["bbox_targets"],
                          blobs["bbox_inside_weights"], blobs["bbox_outside_weights"])
        inds = select_hard(loss, blobs["rois"], blobs["labels"], hard, cfg.TRAIN.OHEM_NMS_THRESH)
        return torch.from_numpy(inds).to(machine.device)

    return lambda bf16: training_step(plain, optimizer, tensors, mine, bf16)


def layer_seconds(machine, net, repeats):
    """{layer name: [seconds forward, seconds backward]}, means of `repeats` passes, the device awaited each time."""
    spent, ways = {layer.name: [0.0, 0.0] for layer in net.layers}, (net.forward_from_to, net.backward_from_to)
    for turn in range(repeats + 2):
        net.clear_param_diffs()
        for way, run in enumerate(ways):
            for number in range(len(net.layers))[::1 - 2 * way]:
                machine.wait()
                start = time.perf_counter()
                run(number, number)
                machine.wait()
                if turn >= 2:       # the first passes compile and allocate
                    spent[net.layers[number].name][way] += (time.perf_counter() - start) / repeats
    return spent


def _layer_table(seconds, net_name, name):
    """The layers that take a hundredth of the pass or more."""
    total = sum(map(sum, seconds.values()))
    lines = ["%s, %s: layer by layer, ms forward and backward (%.3g ms in all)" % (net_name, name, 1e3 * total)]
    lines += ["  %-28s %8.3f %8.3f" % (layer, 1e3 * there, 1e3 * back) for layer, (there, back) in seconds.items()
              if there + back >= 0.01 * total]
    return "\n".join(lines)


def main():
    caffe.keep_freed_memory()       # as the tools
    args = parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("error: benchmarks/gpu.py: PyTorch %s finds no CUDA device; it needs one and a CUDA build of "
                         "PyTorch (--device cpu --tiny tries the program without)" % torch.__version__)
    caffe.set_log_level(1)
    if args.device == "cuda":
        caffe.set_mode_gpu()
    machine, sizes = Machine(args.device), Sizes.tiny() if args.tiny else Sizes(width=args.width or 1000)
    sizes.batch = args.batch or sizes.batch
    facts = {**machine.description(), "image": "%d x %d" % (sizes.height, sizes.width), "hard_rois": sizes.batch}
    print("; ".join("%s %s" % fact for fact in facts.items()), flush=True)
    found = kernel_rows(machine, sizes, args.repeats)
    for net_name in sizes.nets if args.nets is None else args.nets:
        found += iteration_rows(machine, sizes, net_name, args.repeats, args.precisions)
    _report.save(found, "gpu", facts, args.out)
    print(_report.table([row for row in _report.load(args.out).values()]))
    print("written: %s" % args.out)


if __name__ == "__main__":
    main()
