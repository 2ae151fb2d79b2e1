"""Write launchers of the command `caffe` where Caffe's build has its tools and old scripts look for them.

build/tools/{caffe,convert_imageset,...}, each also with .bin, and .build_release, which is build; python/classify.py
and others; tools/extra/parse_log.py.  They run the Python that wrote them, but for those that are Python programs.
"""
import os
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
BINARIES = ("caffe", "compute_image_mean", "convert_imageset", "device_query", "extract_features",
            "upgrade_net_proto_binary", "upgrade_net_proto_text", "upgrade_solver_proto_text")
PROGRAMS = {"python/classify.py": "classify", "python/detect.py": "detect", "python/draw_net.py": "draw_net",
            "tools/extra/parse_log.py": "parse_log"}
SHELL = """#!/bin/sh
# Written by make pycaffe.
PYTHONPATH={library}${{PYTHONPATH:+:$PYTHONPATH}} exec {python} -m caffe {command}"$@"
"""
PYTHON = '''#!/usr/bin/env python3
"""Written by make pycaffe: caffe {command}."""
import sys

if __name__ == "__main__":
    sys.path.insert(0, {library!r})
    from caffe.commands import main
    sys.exit(main(["{command}", *sys.argv[1:]]))
'''


def write_launchers(root=ROOT, python=sys.executable):
    """Write all of them below `root`, whose python/ holds the package."""
    library = str(root / "python")
    for name in BINARIES:
        command = "" if name == "caffe" else name + " "
        text = SHELL.format(library=shlex.quote(library), python=shlex.quote(python), command=command)
        for path in (root / "build/tools" / name, root / "build/tools" / (name + ".bin")):
            _write(path, text)
    for path, command in PROGRAMS.items():
        _write(root / path, PYTHON.format(library=library, command=command))
    if not os.path.lexists(root / ".build_release"):
        (root / ".build_release").symlink_to("build", target_is_directory=True)


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


if __name__ == "__main__":
    write_launchers()
