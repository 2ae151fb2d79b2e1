"""Builds the Cython modules of lib/ beside their sources: `make`, or python setup.py build_ext --inplace."""
from Cython.Build import cythonize
from setuptools import Extension, setup

# No fused multiply-add: it would change the last bit of an IoU, and with it what NMS drops at its threshold.
# No traps: no code reads the flags of exceptions, and GCC vectorises no comparison that must set them (NMS takes 5
# times as long).
FLAGS = ["-O3", "-ffp-contract=off", "-fno-trapping-math"]

EXTENSIONS = [
    Extension("utils.cython_bbox", ["utils/bbox.pyx"], extra_compile_args=FLAGS),
    Extension("nms.cpu_nms", ["nms/cpu_nms.pyx"], extra_compile_args=FLAGS),
]

if __name__ == "__main__":
    setup(name="ohem-lib-native", packages=[], ext_modules=cythonize(EXTENSIONS))
