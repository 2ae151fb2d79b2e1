"""A net of a few hundred weights as prototxt files, from the builder of models/, to run the real tools on."""
from generate.files import net_files
from generate.nets import Fc, Net
from generate.trunks import conv_relu


def tiny_trunk(n, image):
    """Two convolutions, 16 pixels to a cell."""
    xavier = {"type": "xavier"}
    top = conv_relu(n, "conv1", image, 8, 5, stride=4, pad=2, weight_filler=xavier)
    return conv_relu(n, "conv2", top, 8, 5, stride=4, pad=2, weight_filler=xavier)


def write_tiny_net(folder, name="TinyNet"):
    """Write folder/<method>/{train,test,solver}.prototxt for both methods; returns `folder` (a pathlib.Path)."""
    net = Net("tiny", name, name, 21, tiny_trunk, pooled=3, fc6=Fc(16, 0.05), fc7=Fc(16, 0.1),
              dropout={"dropout_ratio": 0.5}, solver={"display": 1, "average_loss": 2})
    for path, text in net_files(net).items():
        target = folder / path.removeprefix(f"tiny/{name}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.replace(f"models/tiny/{name}", str(folder)))
    return folder
