#!/usr/bin/env python
"""Demo script showing detections in sample images, as forks of py-faster-rcnn have it."""
import argparse
import os

import _init_paths  # noqa: F401
import caffe
import cv2
import matplotlib
import numpy as np
import scipy.io as sio
from fast_rcnn.config import cfg, cfg_from_file
from fast_rcnn.nms_wrapper import nms
from fast_rcnn.test import _get_blobs, im_detect, vis_detections
from utils.timer import Timer

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402
from digit_halves import digit_halves  # noqa: E402

CLASSES = ('__background__', 'low', 'high')


def demo(net, im_file, obj_proposals, out):
    """Detect object classes in an image using pre-computed object proposals."""
    im = cv2.imread(im_file)
    timer = Timer()
    timer.tic()
    scores, boxes = im_detect(net, im, obj_proposals)
    timer.toc()
    blobs, im_scales = _get_blobs(im, obj_proposals)
    print('Detection took {:.3f}s for {:d} object proposals at scale {:.2f} of {}'.format(
        timer.total_time, boxes.shape[0], im_scales[0], blobs['data'].shape))
    CONF_THRESH = 0.1
    NMS_THRESH = 0.3
    for cls_ind, cls in enumerate(CLASSES[1:]):
        cls_ind += 1            # because we skipped background
        cls_boxes = boxes[:, 4 * cls_ind:4 * (cls_ind + 1)]
        cls_scores = scores[:, cls_ind]
        dets = np.hstack((cls_boxes, cls_scores[:, np.newaxis])).astype(np.float32)
        keep = nms(dets, NMS_THRESH)
        dets = dets[keep, :]
        vis_detections(im, cls, dets, thresh=CONF_THRESH)
        print('{} of {} with p({} | box) >= {:.1f}'.format((dets[:, -1] >= CONF_THRESH).sum(), len(dets), cls, CONF_THRESH))
    plt.savefig(out)


def parse_args():
    parser = argparse.ArgumentParser(description='Faster R-CNN demo')
    parser.add_argument('--gpu', dest='gpu_id', help='GPU device id to use [0]', default=0, type=int)
    parser.add_argument('--cpu', dest='cpu_mode', help='Use CPU mode (overrides --gpu)', action='store_true')
    parser.add_argument('--def', dest='prototxt')
    parser.add_argument('--net', dest='caffemodel')
    parser.add_argument('--data', dest='data_dir')
    parser.add_argument('--out', dest='out')
    return parser.parse_args()


if __name__ == '__main__':
    args = parse_args()
    cfg_from_file(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cfgs', 'test.yml'))
    cfg.DATA_DIR = args.data_dir
    if args.cpu_mode:
        caffe.set_mode_cpu()
    else:
        caffe.set_mode_gpu()
        caffe.set_device(args.gpu_id)
    net = caffe.Net(args.prototxt, args.caffemodel, caffe.TEST)
    print('\n\nLoaded network {:s}'.format(args.caffemodel))
    imdb = digit_halves('test', '2024')
    mat = sio.loadmat(os.path.join(imdb._data_path, 'selective_search_data', 'digits_test.mat'))
    demo(net, imdb.image_path_at(0), mat['boxes'].ravel()[0][:, (1, 0, 3, 2)] - 1, args.out)
