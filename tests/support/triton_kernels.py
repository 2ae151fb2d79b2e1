"""The Triton kernels in tests: compiled where PyTorch finds a CUDA device, else under Triton's interpreter.

Import this before anything imports the kernels: the choice is made when a kernel is defined.
"""
import os
import sys

import pytest
import torch

INTERPRETED = not torch.cuda.is_available()
if INTERPRETED:
    os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton", reason="Triton is not installed (Linux only; see requirements.txt)")
DEVICE = torch.device("cpu" if INTERPRETED else "cuda")


def count_as_on_gpu(monkeypatch):
    """All tensors count as lying on a GPU, so that layers take the way they take there."""
    for name, module in list(sys.modules.items()):
        if name.startswith("caffe.") and hasattr(module, "on_gpu"):
            monkeypatch.setattr(module, "on_gpu", lambda tensor: True)
