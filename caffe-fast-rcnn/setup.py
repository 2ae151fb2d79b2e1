"""Build of the `caffe` package: the schema's Python module and the compiled CPU kernels.

pip install .                            a wheel
python setup.py schema build_ext -i      the same in place, for use with python/ on PYTHONPATH (what `make` does)
"""
import os
import tempfile
from pathlib import Path

from setuptools import Command, Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

PYTHON = Path(__file__).resolve().parent / "python"
PROTO = Path("caffe/proto/caffe.proto")     # relative to PYTHON: the descriptor's file name


def generate_schema(python_dir=PYTHON):
    """Write caffe_pb2.py beside caffe.proto under `python_dir`; leave it alone when it is newer.  Returns its path."""
    source = python_dir / PROTO
    target = source.with_name("caffe_pb2.py")
    if target.exists() and target.stat().st_mtime > source.stat().st_mtime:
        return target
    from grpc_tools import protoc
    # Written elsewhere and moved into place, so that no concurrent import sees half a file.
    with tempfile.TemporaryDirectory(dir=python_dir) as out:
        status = protoc.main(["protoc", "-I%s" % python_dir, "--python_out=%s" % out, str(source)])
        if status:
            raise RuntimeError("protoc failed with status %d on %s" % (status, source))
        os.replace(Path(out) / PROTO.with_name("caffe_pb2.py"), target)
    return target


class Schema(Command):
    """setup.py schema: generate caffe_pb2.py in place."""

    description = "generate caffe/proto/caffe_pb2.py from caffe.proto"
    user_options = []

    def initialize_options(self):
        pass

    def finalize_options(self):
        pass

    def run(self):
        generate_schema()


class BuildPy(build_py):
    """build_py that generates the schema first."""

    def run(self):
        self.run_command("schema")
        super().run()


class BuildExt(build_ext):
    """build_ext with optimisation, and OpenMP where the compiler can link it."""

    def build_extensions(self):
        if self.compiler.compiler_type != "msvc":
            openmp = ["-fopenmp"] if self.links_with(["-fopenmp"]) else []
            for extension in self.extensions:
                # no-trapping-math: lets the compiler vectorise `a if a > b else b`; the numbers stay the same.
                extension.extra_compile_args = ["-O3", "-fno-trapping-math", "-fno-math-errno", *openmp]
                extension.extra_link_args = openmp
        super().build_extensions()

    def links_with(self, flags):
        """Whether the compiler builds an OpenMP program with these flags."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
            try:
                objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=flags)
                self.compiler.link_executable(objects, str(Path(folder) / "probe"), extra_postargs=flags)
            except Exception as e:      # the compilers' errors share no base class across setuptools' versions
                print("building without OpenMP (one core a kernel): %s" % e)
                return False
        return True


def extensions():
    """The Cython kernels, named as modules of the package."""
    os.chdir(PYTHON.parent)
    from Cython.Build import cythonize
    folder = PYTHON / "caffe" / "kernels"
    headers, kernels = ([path.relative_to(PYTHON.parent).as_posix() for path in sorted(folder.glob(pattern))]
                        for pattern in ("*.h", "*.pyx"))
    # What a kernel depends on goes into source archives; its source there is the C that Cython made.
    found = [Extension("caffe.kernels." + Path(kernel).stem, [kernel], depends=[kernel, *headers])
             for kernel in kernels]
    return cythonize(found, language_level=3)


if __name__ == "__main__":
    setup(ext_modules=extensions(), cmdclass={"schema": Schema, "build_py": BuildPy, "build_ext": BuildExt})
