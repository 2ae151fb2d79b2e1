"""Classifiers: VGG16 for ImageNet, and the one that pre-trains DigitNet."""
from caffe import NetSpec
from caffe import layers as L

from .layers import IMAGE, gaussian, named, net_with_inputs
from .nets import Net
from .prototxt import prototxt
from .roi_network import inner_product, roi_body
from .solvers import solver_text
from .trunks import max_pool, vgg16


def imagenet_files() -> dict[str, str]:
    """{path relative to models/: text} of the classifiers of ImageNet."""
    n = NetSpec()
    n.data = L.Input()
    top = max_pool(n, "pool5", vgg16(n, n.data), 2)
    for number in (6, 7):
        top = n[f"fc{number}"] = L.InnerProduct(top, num_output=4096)
        top = n[f"relu{number}"] = L.ReLU(top, in_place=True)
        top = n[f"drop{number}"] = L.Dropout(top, in_place=True, dropout_ratio=0.5)
    n.fc8 = L.InnerProduct(top, num_output=1000)
    n.prob = L.Softmax(n.fc8)
    net = net_with_inputs(n, "VGG_ILSVRC_16_layers", data=IMAGE)
    text = prototxt(net, "Takes data (N, 3, 224, 224), gives prob (N, 1000).")
    return {"imagenet/VGG16/deploy.prototxt": text}


def pretraining_files(net: Net) -> dict[str, str]:
    """{path below models/<dataset>/<NET>/: text} of the classifier of ten digits."""
    n = NetSpec()
    shapes = [{"dim": [64, 3, 48, 48]}, {"dim": [64, 5]}, {"dim": [64]}]    # 64 images, a RoI each
    n.data, n.rois, n.labels = L.Input(name="input", ntop=3, shape=shapes)
    fc7 = roi_body(n, net, net.trunk(n, n.data), n.rois)
    digit_score = inner_product(n, "digit_score", fc7, 10, gaussian(0.01, 0))
    n.loss = L.SoftmaxWithLoss(digit_score, n.labels)
    n.accuracy = L.Accuracy(digit_score, n.labels)
    train = "classifier/train.prototxt"
    solver = solver_text(net, train, "", base_lr=0.01, stepsize=700, display=100)
    comment = "A classifier of one RoI an image; tools/pretrain_digits.py trains it."
    return {train: prototxt(named(n, net.title), comment), "classifier/solver.prototxt": solver}
