"""Runs under a Python that has the C++ Caffe: JOB PROTOTXT CAFFEMODEL DATA.npz RESULT.npy.

Runs one pass, stores the last blob, says "ready"; then for each line "go" one pass, whose seconds it prints.
"""
import sys
import time

import caffe
import numpy as np


def forward_backward(net):
    net.clear_param_diffs()
    net.forward()
    net.backward()


JOBS = {"forward": (caffe.TEST, lambda net: net.forward()), "forward_backward": (caffe.TRAIN, forward_backward)}


def main():
    job, prototxt, caffemodel, data, result = sys.argv[1:]
    caffe.set_mode_cpu()
    phase, run = JOBS[job]
    net = caffe.Net(prototxt, caffemodel, phase)
    for name, array in np.load(data).items():
        net.blobs[name].data[...] = array
    run(net)
    np.save(result, net.blobs[list(net.blobs)[-1]].data)
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() != "go":
            break
        start = time.perf_counter()
        run(net)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
