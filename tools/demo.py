#!/usr/bin/env python
"""Detect objects in images with a trained detector, and write pictures.

Fast R-CNN gets its proposals from our own selective search; Faster R-CNN and R-FCN make theirs.

    python tools/demo.py --gpu cpu                                     the digits' net, on four of its test images
    python tools/demo.py --gpu cpu --net SqueezeNet                    on the photographs of data/demo
    python tools/demo.py --gpu cpu --net SqueezeNet photo1.jpg photo2.jpg
    python tools/demo.py --gpu 0 --net VGG16 --model vgg16_fast_rcnn_iter_40000.caffemodel photo.jpg
    python tools/demo.py --gpu cpu --net SqueezeNet --cfg experiments/cfgs/multistage.yml photo.jpg    with +B
    python tools/demo.py --gpu 0 --def models/pascal_voc/VGG16/faster_rcnn_alt_opt/faster_rcnn_test.pt \\
        --model data/faster_rcnn_models/VGG16_faster_rcnn_final.caffemodel
"""
import argparse
import time
from pathlib import Path

import _classes
import _cli
import caffe
import matplotlib
from _init_paths import ROOT
from datasets.propose import MODE, SAME_AS, search_boxes
from datasets.voc_layout import VOC_CLASSES
from fast_rcnn.class_names import BACKGROUND, shorten
from fast_rcnn.config import cfg, cfg_from_list, nets_dir
from fast_rcnn.finite import FiniteCheck
from fast_rcnn.prototxt import adapt_net
from fast_rcnn.test import image_detections
from utils.errors import UserError
from utils.images import read_image
from utils.selective_search import MODES

VOTERS = 0.05   # lowest score of the boxes that take part in TEST.BBOX_VOTE, test_net's default
COLOURS = ('#e6194b', '#3cb44b', '#4363d8', '#f58231', '#911eb4', '#008080', '#f032e6', '#9a6324', '#808000', '#000075')


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', nargs='*',
                        help="image files (default: those of data/demo; for DigitNet four of data/digits)")
    parser.add_argument('--cpu', action='store_true', help="the same as --gpu cpu")
    parser.add_argument('--net', default='DigitNet', help="a net of models/ (default: DigitNet)")
    parser.add_argument('--model', metavar='FILE', help="caffemodel (default: the newest of --net below output/)")
    parser.add_argument('--def', dest='prototxt', metavar='FILE', help="prototxt of the test net (default: --net's)")
    _classes.add_classes_flag(parser)
    parser.add_argument('--thresh', type=_cli.parse_number, default=0.8,
                        help="lowest score that is drawn (default: 0.8)")
    parser.add_argument('--mode', choices=(*MODES, *SAME_AS), default=MODE,
                        help="of selective search, on images scaled down as by tools/propose.py (default: %(default)s)")
    parser.add_argument('--out', default='output/detections', metavar='DIR', help="where the pictures go")
    parser.add_argument('--show', action='store_true', help="also open windows")
    _cli.add_common_flags(parser)
    return parser.parse_args()


def newest_model(net):
    """The caffemodel of `net` written last below output/."""
    models = list((ROOT / 'output').glob('*/*/%s_fast_rcnn*_iter_*.caffemodel' % net.lower()))
    if not models:
        raise UserError("no trained %s below output/; train one: ./experiments/scripts/fast_rcnn_ohem.sh %s %s, "
                        "or name a file: --model FILE" % (net, cfg.GPU_ID, net))
    return max(models, key=lambda path: path.stat().st_mtime)


def use_training_config(record):
    """Scale images as the net was trained to see them."""
    if record:
        config = record['config']
        cfg_from_list(['PIXEL_MEANS', config['PIXEL_MEANS'], 'TEST.SCALES', config['TEST']['SCALES'],
                       'TEST.MAX_SIZE', config['TEST']['MAX_SIZE'],
                       'TEST.SCALE_MODE', config['TEST'].get('SCALE_MODE', 'per_roi')])


def find_prototxt(net):
    paths = sorted((ROOT / 'models').glob('*/%s/fast_rcnn/test.prototxt' % net))
    if not paths:
        raise UserError("--net %s: no folder models/*/%s; give the test net by --def FILE" % (net, net))
    return str(paths[0])


def default_images(net):
    """The photographs of data/demo; for DigitNet four test images of its data set."""
    if net != 'DigitNet':
        return sorted(str(path) for path in (ROOT / 'data' / 'demo').glob('*.jpg'))
    names = ROOT / 'data' / 'digits' / 'ImageSets' / 'Main' / 'test.txt'
    if not names.is_file():
        raise UserError("no images given and data/digits is not there; name image files, or make it: "
                        "python tools/make_digits.py")
    return [str(ROOT / 'data' / 'digits' / 'JPEGImages' / (name + '.jpg')) for name in names.read_text().split()[:4]]


def use_config_of(net, classes):
    """Whether the net makes its own proposals, and whether all classes share their boxes, is to be seen from it."""
    cfg.TEST.HAS_RPN = 'im_info' in net.inputs
    cfg.TEST.AGNOSTIC = net.blobs['bbox_pred'].channels == 8 < 4 * len(classes)


def detect(net, im, mode, thresh):
    """[(class index, (n, 5) [x1 y1 x2 y2 score])] of the classes found in im (H, W, 3) BGR, and both parts' seconds."""
    start = time.monotonic()
    proposals = None if cfg.TEST.HAS_RPN else search_boxes(im, mode)
    proposed = time.monotonic()
    image_dets = image_detections(net, im, proposals, min(thresh, VOTERS), 0)
    found = [(c, dets[dets[:, 4] >= thresh]) for c, dets in enumerate(image_dets) if (dets[:, 4] >= thresh).any()]
    return found, (proposed - start, time.monotonic() - proposed)


def draw(im, found, classes, title):
    """A matplotlib figure of im with the detections."""
    import matplotlib.pyplot as plt  # after the backend is chosen
    fig, ax = plt.subplots(figsize=(9, 9 * im.shape[0] / im.shape[1]))
    ax.imshow(im[:, :, ::-1])            # BGR -> RGB
    for c, dets in found:
        colour = COLOURS[c % len(COLOURS)]
        for x1, y1, x2, y2, score in dets:
            ax.add_patch(plt.Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=2))
            ax.text(x1, y1 - 2, '%s %.2f' % (classes[c], score), color='white', fontsize=9,
                    bbox={'facecolor': colour, 'alpha': 0.8, 'pad': 1, 'linewidth': 0})
    ax.set_title(title, fontsize=10)
    ax.axis('off')
    fig.tight_layout()
    return fig


def load(args):
    """(net, class names with the background first)."""
    model = Path(args.model) if args.model else newest_model(args.net)
    _cli.need_file(model, '--model', "train one with experiments/scripts/fast_rcnn_ohem.sh")
    use_training_config(_classes.training_record(model))
    _cli.configure(args)
    classes = _classes.net_classes(model, args.classes)
    if classes is None:
        classes = _classes.assumed_classes(model, (BACKGROUND,) + VOC_CLASSES, "PASCAL VOC")
    print("Model: %s, %d classes and the background: %s" % (model, len(classes) - 1, shorten(classes[1:])))
    prototxt = adapt_net(args.prototxt or find_prototxt(args.net), len(classes), nets_dir())
    net = caffe.Net(prototxt, str(model), caffe.TEST)
    use_config_of(net, classes)
    print("Boxes: " + ("proposals of the net" if cfg.TEST.HAS_RPN else "selective search, " + args.mode))
    return net, classes


def main():
    args = parse_args()
    if args.cpu:
        args.gpu = 'cpu'
    if not args.show:
        matplotlib.use('Agg')
    import matplotlib.pyplot as plt  # after the backend is chosen
    net, classes = load(args)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    finite = FiniteCheck(net)
    for path in args.images or default_images(args.net):
        im = read_image(path)
        with finite.image(path):
            found, seconds = detect(net, im, args.mode, args.thresh)
        picture = out / (Path(path).stem + '.png')
        figure = draw(im, found, classes, Path(path).name)
        figure.savefig(picture, dpi=100)
        if not args.show:
            plt.close(figure)
        print("%s: %s (proposals %.2f s, net %.2f s) -> %s"
              % (path, ', '.join('%d %s' % (len(dets), classes[c]) for c, dets in found) or 'nothing', *seconds,
                 picture), flush=True)
    if args.show:
        plt.show()


if __name__ == '__main__':
    _cli.run(main)
