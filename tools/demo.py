#!/usr/bin/env python
"""Detect objects in images with a trained detector, and write pictures.

Fast R-CNN gets its proposals from our own selective search; Faster R-CNN and R-FCN make theirs.

    python tools/demo.py --gpu cpu                                     the digits' net, on four of its test images
    python tools/demo.py --gpu cpu --net SqueezeNet                    on the photographs of data/demo
    python tools/demo.py --gpu cpu --net SqueezeNet photo1.jpg photo2.jpg
    python tools/demo.py --gpu 0 --net VGG16 --model vgg16_fast_rcnn_iter_40000.caffemodel photo.jpg
    python tools/demo.py --gpu cpu --net SqueezeNet --cfg experiments/cfgs/multistage.yml photo.jpg    with +B
    python tools/demo.py --gpu 0 --net vgg16                           (or zf) py-faster-rcnn's published net
"""
import argparse
from pathlib import Path

import _cli
import matplotlib
from _detector import add_detector_flags, detect, load
from _init_paths import ROOT
from fast_rcnn.finite import FiniteCheck
from utils.errors import UserError
from utils.images import read_image

COLOURS = ('#e6194b', '#3cb44b', '#4363d8', '#f58231', '#911eb4', '#008080', '#f032e6', '#9a6324', '#808000', '#000075')


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', nargs='*',
                        help="image files (default: those of data/demo; for DigitNet four of data/digits)")
    parser.add_argument('--cpu', action='store_true', help="the same as --gpu cpu")
    parser.add_argument('--thresh', type=_cli.parse_number, default=0.8,
                        help="lowest score that is drawn (default: 0.8)")
    parser.add_argument('--out', default='output/detections', metavar='DIR', help="where the pictures go")
    parser.add_argument('--show', action='store_true', help="also open windows")
    add_detector_flags(parser, net='DigitNet')
    return parser.parse_args()


def default_images(net):
    """The photographs of data/demo; for DigitNet four test images of its data set."""
    if net != 'DigitNet':
        return sorted(str(path) for path in (ROOT / 'data' / 'demo').glob('*.jpg'))
    names = ROOT / 'data' / 'digits' / 'ImageSets' / 'Main' / 'test.txt'
    if not names.is_file():
        raise UserError("no images given and data/digits is not there; name image files, or make it: "
                        "python tools/make_digits.py")
    return [str(ROOT / 'data' / 'digits' / 'JPEGImages' / (name + '.jpg')) for name in names.read_text().split()[:4]]


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
