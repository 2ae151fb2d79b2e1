"""setup.py of the runtime: the schema step, and what the package declares."""
import importlib.util
import os
import shutil
import tomllib
from pathlib import Path

import caffe
import pytest

SOURCE = Path(caffe.__file__).resolve().parent.parent.parent


@pytest.fixture()
def setup_py():
    spec = importlib.util.spec_from_file_location("caffe_setup", SOURCE / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture()
def tree(tmp_path, setup_py):
    """A source tree that holds the schema alone."""
    (tmp_path / setup_py.PROTO).parent.mkdir(parents=True)
    shutil.copy(SOURCE / "python" / setup_py.PROTO, tmp_path / setup_py.PROTO)
    return tmp_path


def test_schema_is_generated_once_and_again_when_it_changed(setup_py, tree):
    target = setup_py.generate_schema(tree)
    assert target == tree / "caffe/proto/caffe_pb2.py" and "V1LayerParameter" in target.read_text()
    assert [p.name for p in tree.iterdir()] == ["caffe"]            # no scratch folder stays
    made = target.stat().st_mtime_ns
    os.utime(tree / setup_py.PROTO)
    setup_py.generate_schema(tree)
    assert target.stat().st_mtime_ns == made
    with open(tree / setup_py.PROTO, "a", encoding="utf-8") as f:
        f.write("message Added {}")
    setup_py.generate_schema(tree)
    assert "Added" in target.read_text()


def test_a_schema_that_was_brought_along_is_checked(setup_py, tree, monkeypatch):
    """On a machine without grpcio-tools: one of this caffe.proto is taken, one of another is an error line."""
    target = setup_py.generate_schema(tree)
    made = target.stat().st_mtime_ns
    monkeypatch.setattr(setup_py, "find_spec", lambda name: None)
    setup_py.generate_schema(tree)
    assert target.stat().st_mtime_ns == made
    with open(tree / setup_py.PROTO, "a", encoding="utf-8") as f:
        f.write("message Added {}")
    with pytest.raises(SystemExit, match="lacks grpcio-tools, which compiles"):
        setup_py.generate_schema(tree)


def test_a_broken_schema_leaves_the_old_module(setup_py, tree):
    target = setup_py.generate_schema(tree)
    (tree / setup_py.PROTO).write_text("message {")
    with pytest.raises(RuntimeError, match="protoc failed"):
        setup_py.generate_schema(tree)
    assert "V1LayerParameter" in target.read_text()


def test_an_installation_has_all_modules_and_the_schema():
    from setuptools import find_packages
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())
    packages = find_packages(str(SOURCE / "python"))
    folders = {str(p.parent.relative_to(SOURCE / "python")).replace(os.sep, ".")
               for p in (SOURCE / "python" / "caffe").rglob("*.py")}
    assert folders <= set(packages)
    assert project["tool"]["setuptools"]["package-data"]["caffe"] == ["proto/caffe.proto"]


def test_each_kernel_is_built_as_the_module_that_its_folder_says(setup_py):
    sources = sorted((SOURCE / "python" / "caffe" / "kernels").rglob("*.pyx"))
    modules = setup_py.kernel_modules()
    assert len(sources) > 5 and sorted(modules.values()) == [p.relative_to(SOURCE).as_posix() for p in sources]
    for name, file in modules.items():
        assert importlib.import_module(name).__name__ == name and file == f"python/{name.replace('.', '/')}.pyx"


def test_source_archives_have_what_the_kernels_include(setup_py):
    folder = SOURCE / "python" / "caffe" / "kernels"
    included = {path.relative_to(SOURCE).as_posix() for suffix in (".h", ".pxd") for path in folder.rglob("*" + suffix)}
    assert included and set(setup_py.kernel_files("*.h", "*.pxd")) == included
