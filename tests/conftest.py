"""A test may be skipped for one of the reasons below, and for no other: anything else counts as failed."""
import pytest

# What a machine may lack. What is part of the project may not be absent.
REASONS = ("photographs and their vectors are not on this machine", "the fuzzers' files are not on this machine",
           "needs a CUDA device", "chromium is not installed",
           "Triton is not installed", "this machine has a CUDA device", "the C library is not glibc",
           "this JPEG decoder differs from the recorded one", "the CPU has no AVX-512 BF16",
           "the kernels are compiled here, not interpreted", "CAFFE_PYTHON is not set",
           "PyTorch is not imported from this folder in a C locale")


def _fail_unknown_skip(report):
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2].removeprefix("Skipped: ")
    if not reason.startswith(REASONS):
        report.outcome = "failed"
        report.longrepr = f"skipped for a reason that tests/conftest.py does not list: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    _fail_unknown_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    _fail_unknown_skip(report)
    return report
