"""tools/demo.ipynb, executed from top to bottom: on a tree where nothing was trained, then on what that left."""
import base64
from pathlib import Path

import cv2
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from support.reference import ROOT

NOTEBOOK = ROOT / "tools" / "demo.ipynb"


def read():
    return nbformat.read(NOTEBOOK, as_version=4)


def execute(output, folder, cells=None):
    """Run the notebook, or its first `cells`, with `output` in place of the project's own; returns it with its outputs."""
    notebook = read()
    notebook.cells = notebook.cells[:cells]
    setup = notebook.cells[1]
    assert 'OUTPUT = ROOT / "output"' in setup.source
    setup.source = setup.source.replace('ROOT / "output"', "Path(%r)" % str(output))
    NotebookClient(notebook, timeout=180, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


def printed(notebook):
    return "".join(out.text for cell in notebook.cells for out in cell.get("outputs", []) if out.output_type == "stream")


def figures(notebook):
    data = [out.data["image/png"] for cell in notebook.cells for out in cell.get("outputs", []) if "image/png" in out.get("data", {})]
    return [cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR) for text in data]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_it_runs_from_top_to_bottom(tmp_path):
    first = execute(tmp_path, ROOT)
    said = printed(first)
    assert "tools/train_net.py" in said and "after 24 iterations" in said
    assert "all RoIs (" in said and "-> hard RoIs (64, 5)" in said
    assert len(figures(first)) == 5 and all(figure.std() > 5 for figure in figures(first))
    moved = float(said.split("fc6 moved by ")[1].split()[0])
    mean_all, mean_hard = (float(part.split()[-1].rstrip(",")) for part in said.split("mean loss of all")[1].split(", of the"))
    assert moved > 0 and mean_hard > mean_all
    again = printed(execute(tmp_path, ROOT / "tools", cells=6))              # from where people open it
    assert "tools/train_net.py" not in again and "after 24 iterations" in again
    assert [path.name for path in Path(tmp_path).iterdir()] == ["notebook"]


def test_it_is_committed_small_and_without_outputs():
    assert NOTEBOOK.stat().st_size < 20000
    assert [cell for cell in read().cells if cell.get("outputs") or cell.get("execution_count")] == []
