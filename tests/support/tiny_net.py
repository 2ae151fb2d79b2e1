"""A net of a few hundred weights as prototxt files, from the builder of models/, to run the real tools on."""
import importlib.util
import sys

from support.reference import ROOT


def load_make_models():
    """The module tools/make_models.py."""
    sys.path.insert(0, str(ROOT / "tools"))     # what it imports lies beside it
    spec = importlib.util.spec_from_file_location("make_models", ROOT / "tools" / "make_models.py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


def write_tiny_net(folder, name="TinyNet"):
    """Write folder/<method>/{train,test,solver}.prototxt for both methods; returns `folder` (a pathlib.Path)."""
    builder = load_make_models()
    xavier = {"type": "xavier"}
    trunk = [builder.conv("conv1", 8, 5, stride=4, pad=2, filler=xavier), builder.conv("conv2", 8, 5, stride=4, pad=2,
                                                                                        filler=xavier)]
    net = builder.Net("tiny", name, name, 21, trunk, pooled=3, fc6=builder.Fc(16, 0.05), fc7=builder.Fc(16, 0.1),
                      dropout=True, solver={"display": 1, "average_loss": 2})
    for path, text in builder.files(net).items():
        target = folder / "/".join(path.split("/")[2:])     # without tiny/TinyNet/
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.replace("models/tiny/%s" % name, str(folder)))
    return folder
