"""A device and what it can do: waiting for it, its memory, and the measured rates that the limits are made of."""
import importlib.metadata
import importlib.util

import torch
from _timing import best, interleaved

MODES = {"float32": ("ieee", torch.float32), "tf32": ("tf32", torch.float32), "bf16": ("ieee", torch.bfloat16)}


class Machine:
    """device: "cuda", or "cpu" to see that everything runs."""

    def __init__(self, device):
        self.device, self._rates = torch.device(device), {}

    def wait(self):
        """Until the device has done all it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, arms, repeats):
        """Median seconds of functions, each with all the work it gave the device; see _timing.interleaved."""
        return interleaved({name: lambda function=function: self._done(function) for name, function in arms.items()},
                           repeats, warmup=2)

    def peak_gb(self, function):
        """The most memory that tensors took while function() ran, in GB; None on the CPU."""
        if self.device.type != "cuda":
            function()
            return None
        torch.cuda.reset_peak_memory_stats()
        self._done(function)
        return torch.cuda.max_memory_allocated() / 1e9

    def held_gb(self):
        """Memory that tensors take now, in GB."""
        return torch.cuda.memory_allocated() / 1e9 if self.device.type == "cuda" else 0.0

    def _done(self, function):
        function()
        self.wait()

    def flops(self, precision):
        """Floating-point operations a second of a large matrix product; measured once."""
        if precision not in self._rates:
            self._rates[precision] = self._matmul_rate(precision)
        return self._rates[precision]

    def _matmul_rate(self, precision):
        mode, dtype = MODES[precision]
        size = 8192 if self.device.type == "cuda" else 256
        a, b = (torch.randn(size, size, device=self.device).to(dtype) for _ in range(2))
        before = torch.backends.cuda.matmul.fp32_precision
        torch.backends.cuda.matmul.fp32_precision = mode
        try:
            return 2 * size ** 3 / best(lambda: self._done(lambda: torch.mm(a, b)), 8)
        finally:
            torch.backends.cuda.matmul.fp32_precision = before

    def bytes_per_second(self):
        """Read and written together, copying 1 GB (64 MB on the CPU); measured once."""
        if "copy" not in self._rates:
            self._rates["copy"] = self._copy_rate()
        return self._rates["copy"]

    def _copy_rate(self):
        source = torch.ones(2 ** 28 if self.device.type == "cuda" else 2 ** 24, device=self.device)
        target = torch.empty_like(source)
        return 2 * source.nbytes / best(lambda: self._done(lambda: target.copy_(source)), 8)

    def limit(self, precision, flops, num_bytes):
        """Seconds at least: the operations at the rate of matrix products, or the bytes at that of copying."""
        return max(flops / self.flops(precision), num_bytes / self.bytes_per_second())

    def description(self):
        """What the figures depend on."""
        facts = {"device": "CPU", "torch": torch.__version__, "triton": _version("triton"),
                 "torchvision": _version("torchvision")}
        if self.device.type == "cuda":
            properties = torch.cuda.get_device_properties(self.device)
            facts.update(device=properties.name, memory_gb=round(properties.total_memory / 1e9, 1),
                         capability="%d.%d" % (properties.major, properties.minor), cuda=torch.version.cuda)
        facts.update({name + "_tflops": round(self.flops(name) / 1e12, 3) for name in MODES})
        return {**facts, "copy_gbs": round(self.bytes_per_second() / 1e9, 1)}


def _version(package):
    if importlib.util.find_spec(package) is None:
        return "not installed"
    return importlib.metadata.version(package)
