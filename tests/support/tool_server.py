"""Runs the tools as processes of their own without importing PyTorch anew for each: a server that forks.

As a program: reads json lines {"argv": [...], "cwd": ..., "out": file, "err": file} on stdin; for each it forks a child
that becomes `python <argv>` with these streams, and answers with the child's exit code, one line on stdout.
"""
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

PRELOAD = "cv2", "scipy.io", "scipy.sparse", "matplotlib.backends.backend_svg", "yaml", "caffe", "tensorboard.summary.writer.event_file_writer"


class ToolServer:
    """run(argv, cwd) -> subprocess.CompletedProcess, as subprocess.run([sys.executable] + argv) would give."""

    def __init__(self, python_path):
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(python_path)}
        self._process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         text=True, env=env)

    def run(self, argv, cwd):
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            job = {"argv": [str(arg) for arg in argv], "cwd": str(cwd), "out": str(out), "err": str(err)}
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            return subprocess.CompletedProcess(job["argv"], code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def serve():
    for name in PRELOAD:
        __import__(name)
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            become(job)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def become(job):
    """Turn this forked child into the tool; never returns."""
    for path, stream in ((job["out"], 1), (job["err"], 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
    os.chdir(job["cwd"])
    sys.argv, sys.path[0] = job["argv"], str(Path(job["cwd"], job["argv"][0]).parent)
    code = 0
    try:
        runpy.run_path(job["argv"][0], run_name="__main__")
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else int(e.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve()
