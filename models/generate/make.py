#!/usr/bin/env python
"""Write every prototxt below models/: the nets with caffe.NetSpec, and their solvers.

    python models/generate/make.py

To add a net, write its trunk in trunks.py, add a `Net` to NETS in nets.py and run this script.
"""
import sys
from pathlib import Path

MODELS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(MODELS), str(MODELS.parent / "caffe-fast-rcnn" / "python")]

from generate.files import all_files  # noqa: E402


def main():
    for path, text in all_files().items():
        (MODELS / path).parent.mkdir(parents=True, exist_ok=True)
        (MODELS / path).write_text(text, encoding="utf-8")
        print(f"wrote models/{path}")


if __name__ == "__main__":
    main()
