"""Puts our Caffe, the library and experiments/ on the import path; every tool imports this first."""
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

for folder in (".", "lib", "caffe-fast-rcnn/python"):
    if str(ROOT / folder) not in sys.path:
        sys.path.insert(0, str(ROOT / folder))
