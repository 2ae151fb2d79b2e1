"""Runs a worker script in a process of its own, whose memory is its own too."""
import json
import re
import subprocess
import sys
from pathlib import Path

from _paths import ROOT


def run_worker(script, *args):
    """What the script prints as its last line, a JSON object."""
    command = [sys.executable, str(ROOT / "benchmarks" / script), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError("%s: %s" % (" ".join(command), done.stderr.strip()))
    return json.loads(done.stdout.splitlines()[-1])


def peak_gb():
    """The largest resident memory of this process so far (ru_maxrss would start with the parent's)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024 / 1e9
