"""Fixtures of the runtime's tests."""
from support.caffe_command import run_caffe  # noqa: F401
