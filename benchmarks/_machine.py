"""What the machine can do: its description, and the measured rates that the arithmetic limit is made of."""
import functools
import os
import platform

import torch
from _timing import best


def description():
    """What the figures depend on: processor, cores, threads, versions."""
    return {"processor": _processor(), "cores": len(os.sched_getaffinity(0)), "threads": torch.get_num_threads(),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
            "python": platform.python_version(), "torch": torch.__version__,
            "float32_gflops": round(matmul_rate(torch.float32) / 1e9, 1),
            "bf16_gflops": round(matmul_rate(torch.bfloat16) / 1e9, 1), "copy_gbs": round(copy_rate() / 1e9, 1)}


@functools.cache
def matmul_rate(dtype):
    """Floating-point operations a second of a square matrix product of `dtype`."""
    if dtype == torch.bfloat16 and _flops(256, dtype, 1) < 20e9:    # no bf16 units: 1024 would take seconds
        return _flops(256, dtype, 3)
    return _flops(1024, dtype, 10)


@functools.cache
def copy_rate():
    """Bytes a second, read and written together, of copying 256 MB."""
    source, target = torch.ones(2 ** 26), torch.ones(2 ** 26)
    return 2 * source.nbytes / best(lambda: target.copy_(source), 8)


def native_bf16():
    """Whether bf16 is the machine's faster way to multiply matrices."""
    return matmul_rate(torch.bfloat16) > matmul_rate(torch.float32)


def limit_seconds(flops, num_bytes, dtype=torch.float32):
    """The arithmetic limit: operations at the matmul rate (the better of float32 and dtype), then bytes copied."""
    return flops / max(matmul_rate(dtype), matmul_rate(torch.float32)) + num_bytes / copy_rate()


def _flops(size, dtype, repeats):
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    return 2 * size ** 3 / best(lambda: torch.mm(a, b), repeats)


def _processor():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        names = [line.split(":", 1)[1].strip() for line in f if line.startswith("model name")]
    return names[0] if names else platform.processor()
