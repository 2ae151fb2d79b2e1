"""Set up paths for this fork and the project it is of."""
import os.path as osp
import sys


def add_path(path):
    if path not in sys.path:
        sys.path.insert(0, path)


this_dir = osp.dirname(osp.abspath(__file__))
root_dir = osp.join(this_dir, '..', '..', '..')
add_path(osp.join(root_dir, 'caffe-fast-rcnn', 'python'))
add_path(osp.join(root_dir, 'lib'))
add_path(osp.join(this_dir, '..', 'lib'))
