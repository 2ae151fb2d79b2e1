"""The programs of docs/pycaffe.md, run as they stand there."""
import re
import shutil

import numpy as np
import pytest
from support.reference import ROOT, shared

PAGE = ROOT / "docs" / "pycaffe.md"


def programs():
    return dict(re.findall(r"\n## ([^\n]+)\n(?:(?!\n## |```).)*?```python\n(.*?)```", PAGE.read_text(), re.S))


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def run_program(beginning):
        (code,) = (code for title, code in programs().items() if title.startswith(beginning))
        names = {}
        exec(compile(code, str(PAGE), "exec"), names)
        return names
    return run_program


def test_every_program_of_the_page_is_run_here():
    assert len(programs()) == 7
    assert PAGE.read_text().count("```python") == 7


def test_lenet_is_written_as_python(run):
    names = run("LeNet")
    shapes = {name: tuple(blob.shape) for name, blob in names["net"].blobs.items()}
    assert shapes["pool2"] == (64, 50, 4, 4) and shapes["score"] == (64, 10) and shapes["loss"] == ()
    assert list(names["net"].params) == ["conv1", "conv2", "fc1", "score"]


def test_a_solver_steps_and_its_test_net_follows(run, tmp_path):
    names = run("A solver")
    assert names["solver"].iter == 60
    assert names["losses"][-1] < names["losses"][0] / 5
    assert names["accuracies"][-1] > 0.9
    assert (tmp_path / "bars_iter_60.caffemodel").exists() and (tmp_path / "bars_iter_60.solverstate").exists()


def test_squeezenet_sees_a_cat(run, tmp_path):
    shutil.copy(shared("data", "imagenet_models", "SqueezeNet.caffemodel"), tmp_path)
    shutil.copy(ROOT / "data" / "demo" / "cat.jpg", tmp_path)
    names = run("A classifier")
    cats = range(281, 286)
    assert names["probabilities"].argmax() in cats and names["best"] in cats
    np.testing.assert_allclose(names["probabilities"].sum(), 1, rtol=1e-5)


def test_fully_connected_layers_become_convolutions(run):
    names = run("Net surgery")
    assert names["scores"].shape == (1, 5, 13, 13)
    np.testing.assert_allclose(names["scores"][0, :, 4, 7], names["window"][0], atol=1e-5)


def test_a_python_layer_feeds_several_labels(run):
    names = run("A data layer")
    assert names["right"].mean() > 0.95


def test_deepdream_climbs(run):
    norms = run("DeepDream")["norms"]
    assert all(b > a for a, b in zip(norms, norms[1:])) and norms[-1] > 2 * norms[0]


def test_a_view_that_is_held_shows_every_batch(run):
    names = run("Features")
    np.testing.assert_allclose(names["features"], names["everything"], rtol=1e-6)
    assert np.ptp(names["features"], axis=0).min() > 0      # not one batch three times
