"""Puts the runtime and the library on the path: import it first."""
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "caffe-fast-rcnn" / "python"), str(ROOT / "lib")]
