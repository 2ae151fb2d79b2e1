import pytest
from fast_rcnn.config import cfg


@pytest.fixture
def own_root(tmp_path, monkeypatch):
    """A project root and data folder of the test's own: caches and outputs go there."""
    monkeypatch.setattr(cfg, "ROOT_DIR", str(tmp_path))
    monkeypatch.setattr(cfg, "DATA_DIR", str(tmp_path / "data"))
    return tmp_path
