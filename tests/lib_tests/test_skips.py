"""The guard of tests/conftest.py: a skip that is not foreseen fails."""
import subprocess
import sys

import pytest
from support.reference import ROOT

TEST = """
import pytest

def test_one():
    pytest.skip({reason!r})
"""


@pytest.mark.parametrize("reason, code", [("the golden cases are not here", 1), ("needs a CUDA device, none found", 0)])
def test_only_known_reasons_skip(tmp_path, reason, code):
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(TEST.format(reason=reason))
    result = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path], text=True,
                            capture_output=True, cwd=tmp_path)
    assert result.returncode == code, result.stdout
    assert (reason in result.stdout) == bool(code)
