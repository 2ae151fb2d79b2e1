"""The prototxts in models/, and the text of each."""
from . import classifier, fast_rcnn, faster_rcnn, rfcn
from .nets import NETS, Net


def all_files() -> dict[str, str]:
    """{path relative to models/: text} of every prototxt there."""
    texts = {}
    for net in NETS:
        texts.update(net_files(net))
    return {**texts, **classifier.imagenet_files()}


def net_files(net: Net) -> dict[str, str]:
    """{path relative to models/: text} of the methods that one net supports."""
    texts = {}
    if net.fc6:
        texts.update(fast_rcnn.files(net))
    if net.fc6 and net.rpn:
        texts.update(faster_rcnn.files(net))
    if net.rfcn:
        texts.update(rfcn.files(net))
    if net.pretrained_here:
        texts.update(classifier.pretraining_files(net))
    return {f"{net.dataset}/{net.name}/{path}": text for path, text in texts.items()}
