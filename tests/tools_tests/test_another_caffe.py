"""Training and testing with a caffe that has pycaffe's public interface alone, as a build of C++ Caffe has."""
import ast
import os
import subprocess
import sys

import pytest
from support.pycaffe_names import PACKAGE
from support.reference import ROOT

RUN = ("import caffe, os, runpy, sys; sys.argv = sys.argv[1:]; sys.path.insert(0, os.path.dirname(sys.argv[0]));"
       " runpy.run_path(sys.argv[0], run_name='__main__')")


@pytest.fixture(params=["1.0", "older"])
def run_alone(request):
    """run_alone("train_net.py", args...): a tool with a stub for caffe, imported before the tool looks for one."""
    def call(tool, *args):
        path = os.pathsep.join(str(ROOT / part) for part in ("tests/support/pycaffe_alone", "tests",
                                                             "caffe-fast-rcnn/python"))
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "PYCAFFE": request.param}
        return subprocess.run([sys.executable, "-c", RUN, f"tools/{tool}", *map(str, args)], cwd=ROOT, text=True,
                              capture_output=True, env=env)
    return call


@pytest.fixture
def test_args(tiny_net, voc_folder, exp_dir):
    def call(model, *more):
        return ["--gpu", "cpu", "--def", tiny_net / "fast_rcnn_ohem" / "test.prototxt", "--net", model, "--imdb",
                f"voc:{voc_folder}@test", *more, "--set", "EXP_DIR", exp_dir, "TEST.SCALES", "[90]"]
    return call


def test_training_and_testing_need_no_more_than_pycaffe_has(run_alone, train_args, test_args, exp_dir, run):
    """The weights and scores are those of the whole caffe."""
    folder = ROOT / "output" / exp_dir
    trained = run_alone("train_net.py", *train_args())
    assert trained.returncode == 0, trained.stderr
    model = folder / "things_trainval" / "tinynet_fast_rcnn_iter_2.caffemodel"
    weights = model.read_bytes()
    tested = run_alone("test_net.py", *test_args(model))
    assert tested.returncode == 0, tested.stderr
    scores = (folder / "things_test" / model.stem / "detections.npz").read_bytes()
    assert run("train_net.py", *train_args()).returncode == 0 and model.read_bytes() == weights
    assert run("test_net.py", *test_args(model)).returncode == 0
    assert (folder / "things_test" / model.stem / "detections.npz").read_bytes() == scores


@pytest.mark.parametrize("flags", [["--precision", "bf16"], ["--deterministic"]])
def test_what_only_the_projects_caffe_has_is_refused_in_a_line(run_alone, test_args, weights, flags):
    result = run_alone("test_net.py", *test_args(weights, *flags))
    assert result.returncode == 1 and result.stderr.startswith("error: " + " ".join(flags) + " needs the caffe of this")


def test_the_stub_hides_what_is_beyond_pycaffe(run_alone, tmp_path):
    """The tests above could fail."""
    asked = ("print([hasattr(caffe, 'CaffeError'), hasattr(caffe, 'set_precision'), hasattr(caffe, 'Net'), "
             "hasattr(blob, 'mutable_tensor'), hasattr(blob, 'data')])")
    path = tmp_path / "probe.py"
    path.write_text("import caffe\nfrom caffe.blob import Blob\nblob = Blob(1)\n"
                    f"exec(compile({asked!r}, {str(ROOT / 'tools' / 'a.py')!r}, 'exec'))\n"
                    "print(hasattr(blob, 'mutable_tensor'))", encoding="utf-8")
    result = run_alone(os.path.relpath(path, ROOT / "tools"))
    assert result.stdout.splitlines() == ["[False, False, True, False, True]", "True"], result.stderr


def test_lib_and_tools_name_no_other_member_of_caffe():
    """But for utils.caffe_extensions, which stands in where one is absent."""
    found = {}
    for path in [*ROOT.glob("lib/*/*.py"), *ROOT.glob("tools/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "caffe":
                found.setdefault(path.name, set()).add(node.attr)
    beyond = {name: members - PACKAGE for name, members in found.items() if members - PACKAGE}
    assert set(beyond) == {"caffe_extensions.py"} and len(found) > 8
