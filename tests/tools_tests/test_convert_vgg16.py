"""tools/convert_torchvision_vgg16.py from outside: random weights of the true shapes give the same scores in both."""
import caffe
import numpy as np
import pytest
import torch
from support.reference import ROOT
from torch import nn

MEAN, STD = [torch.tensor(x)[:, None, None] for x in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
PIXEL_MEANS = torch.tensor([102.9801, 115.9465, 122.7717])[:, None, None]      # BGR
CHANNELS = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")
DEPLOY = str(ROOT / "models" / "imagenet" / "VGG16" / "deploy.prototxt")


def vgg16():
    """VGG16 with torchvision's names, without memory for its weights."""
    with torch.device("meta"):
        layers, channels = [], 3
        for out in CHANNELS:
            layers += [nn.MaxPool2d(2, 2)] if out == "M" else [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU()]
            channels = channels if out == "M" else out
        classifier = [nn.Linear(25088, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(),
                      nn.Linear(4096, 1000)]
        return nn.ModuleDict({"features": nn.Sequential(*layers), "classifier": nn.Sequential(*classifier)}).eval()


def random_state(model):
    """Weights that keep the size of what runs through; quick to draw."""
    torch.manual_seed(3)
    state = {}
    for name, value in model.state_dict().items():
        bound = (6 / value[0].numel()) ** 0.5 if value.dim() > 1 else 0.1
        state[name] = torch.empty(value.shape).uniform_(-bound, bound)
    return state


@torch.no_grad()
def scores(model, image, border):
    """(1000,) for a BGR image (3, 224, 224) in 0 .. 255.  border: the colour around it; None: torchvision's mean."""
    def normalised(bgr):
        return (bgr.flip(0) / 255 - MEAN) / STD
    first, rest = model["features"][0], model["features"][1:]
    padded = nn.functional.pad(normalised(image), (1, 1, 1, 1))
    if border is not None:
        inside = nn.functional.pad(torch.ones(1, 224, 224), (1, 1, 1, 1))
        padded = padded + (1 - inside) * normalised(border)
    x = rest(nn.functional.conv2d(padded[None], first.weight, first.bias))
    return model["classifier"](x.flatten(1))[0].numpy()


@pytest.fixture(scope="module")
def run(server):
    return lambda *args: server.run(["tools/convert_torchvision_vgg16.py", *args], ROOT)


@pytest.fixture(scope="module")
def converted(run, tmp_path_factory):
    """(image, scores in torch, scores in torch when the border has our mean colour, scores in our Caffe)."""
    folder = tmp_path_factory.mktemp("vgg16")
    model = vgg16()
    state = random_state(model)
    torch.save(state, folder / "vgg16.pth")
    model.load_state_dict(state, assign=True)
    image = torch.rand(3, 224, 224) * 255
    theirs = scores(model, image, None), scores(model, image, PIXEL_MEANS)
    del model, state                        # 550 MB
    result = run(folder / "vgg16.pth", "--out", folder / "VGG16.v2.caffemodel")
    (folder / "vgg16.pth").unlink()
    assert result.returncode == 0, result.stderr
    net = caffe.Net(DEPLOY, str(folder / "VGG16.v2.caffemodel"), caffe.TEST)
    (folder / "VGG16.v2.caffemodel").unlink()
    net.forward(data=(image - PIXEL_MEANS)[None].numpy())
    return (*theirs, net.blobs["fc8"].data[0].copy())


def test_same_scores_as_in_torch(converted):
    theirs, with_our_border, ours = converted
    scale = np.abs(theirs).max()
    assert scale > 0.1 and theirs.std() > 0.1 * scale
    np.testing.assert_allclose(ours, with_our_border, rtol=0, atol=2e-5 * scale)
    # The border: zeros of the padding are another colour, 0.9 of 255 at most.
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-3 * scale)
    assert ours.argmax() == theirs.argmax()


def assert_error(result, *words):
    said = result.stdout + result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == 1 and len(lines) == 1 and "Traceback" not in said, said
    assert [word for word in words if word not in lines[0]] == [], lines[0]


def write_small(path, **changes):
    """A state_dict with VGG16's names and empty tensors but for `changes` (names with _ for .)."""
    state = {name: torch.empty(0) for name in vgg16().state_dict()}
    state.update({name.replace("__", "."): value for name, value in changes.items()})
    torch.save(state, path)
    return path


def test_file_that_is_no_state_dict(run, tmp_path):
    path = tmp_path / "page.pth"
    path.write_text("<html>404 Not Found</html>")
    assert_error(run(path), "page.pth", "fetch")
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, path)
    path.write_bytes(path.read_bytes()[:3000])
    assert_error(run(path), "page.pth", "fetch")
    torch.save([1, 2], path)
    assert_error(run(path), "page.pth", "state_dict", "list")


def test_other_nets(run, tmp_path):
    path = write_small(tmp_path / "bn.pth", features__1__running_mean=torch.zeros(64))
    assert_error(run(path), "features.1.running_mean", "vgg16_bn")
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path)
    assert_error(run(path), "classifier.0.bias", "vgg16")


def test_wrong_shape(run, tmp_path):
    path = write_small(tmp_path / "x.pth", features__0__weight=torch.zeros(64, 3, 5, 5))
    assert_error(run(path, "--out", tmp_path / "y.caffemodel"), "features.0.weight", "(64, 3, 5, 5)", "(64, 3, 3, 3)")
    assert not (tmp_path / "y.caffemodel").exists()


def test_weights_without_a_classifier(run, tmp_path):
    first = torch.full((64, 3, 3, 3), float("nan"))
    assert_error(run(write_small(tmp_path / "x.pth", features__0__weight=first), "--out", tmp_path / "y.caffemodel"),
                 "features.0.weight", "nan", "IMAGENET1K_FEATURES")


def test_missing_file(run, tmp_path):
    assert_error(run(tmp_path / "none.pth"), "none.pth", "fetch_imagenet_models.sh torchvision")
