"""Builds the Cython modules of lib/ beside their sources: `make`, or python setup.py build_ext --inplace."""
from Cython.Build import cythonize
from setuptools import Extension, setup

# No fused multiply-add: it would change the last bit of an IoU, and with it what NMS drops at its threshold.
FLAGS = ["-O3", "-ffp-contract=off"]

EXTENSIONS = [
    Extension("utils.cython_bbox", ["utils/bbox.pyx"], extra_compile_args=FLAGS),
    Extension("nms.cpu_nms", ["nms/cpu_nms.pyx"], extra_compile_args=FLAGS),
    Extension("roi_data_layer.greedy_nms", ["roi_data_layer/greedy_nms.pyx"], extra_compile_args=FLAGS),
]

if __name__ == "__main__":
    setup(name="ohem-lib-native", packages=[], ext_modules=cythonize(EXTENSIONS))
