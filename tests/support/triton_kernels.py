"""The Triton kernels in tests: compiled where PyTorch finds a CUDA device, else under Triton's interpreter.

Import this before anything imports the kernels: the choice is made when a kernel is defined.
"""
import os

import pytest
import torch

INTERPRETED = not torch.cuda.is_available()
if INTERPRETED:
    os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton", reason="Triton is not installed (Linux only; see requirements.txt)")
DEVICE = torch.device("cpu" if INTERPRETED else "cuda")
