#!/usr/bin/env python
"""Train linear SVMs on fc7 of a trained Fast R-CNN net, and write a caffemodel whose cls_score is theirs.

    python tools/train_svms.py --def models/.../test.prototxt --net output/.../x.caffemodel --imdb voc_2007_trainval
    python tools/test_net.py --def models/.../test.prototxt --net output/.../x_svm.caffemodel --imdb voc_2007_test \\
        --det_thresh -1 --set TEST.SVM True

Written is x_svm.caffemodel beside x.caffemodel.
"""
import argparse
import os

import _classes
import _cli
import caffe
from datasets.by_name import load_imdb
from datasets.check import tell_images_without_objects
from fast_rcnn.class_names import write_class_names
from fast_rcnn.config import cfg, nets_dir
from fast_rcnn.prototxt import adapt_net
from training.svm import SVMTrainer


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--def', dest='prototxt', required=True, metavar='FILE', help="prototxt of the test net")
    parser.add_argument('--net', dest='caffemodel', required=True, metavar='FILE', help="weights, trained with softmax")
    parser.add_argument('--imdb', default='voc_2007_trainval', help="data set (default: voc_2007_trainval)")
    _classes.add_classes_flag(parser)
    _cli.add_common_flags(parser)
    return _cli.parse(parser)


def main():
    args = parse_args()
    _cli.configure(args)
    _cli.seed()
    _cli.need_file(args.prototxt, '--def', "the models are in models/<dataset>/<NET>/<method>/test.prototxt")
    _cli.need_file(args.caffemodel, '--net', "train one with experiments/scripts/fast_rcnn_ohem.sh")
    # scores are the SVMs'; a row of fc7 for each box
    cfg.TEST.SVM, cfg.DEDUP_BOXES, cfg.TEST.SCALE_MODE = True, 0, 'per_roi'
    imdb = load_imdb(args.imdb)
    classes, columns = _classes.classes_for(imdb, args.caffemodel, args.classes)
    imdb.set_proposal_method(cfg.TRAIN.PROPOSAL_METHOD)
    tell_images_without_objects(imdb, imdb.roidb, share=0.5)
    if cfg.TRAIN.USE_FLIPPED:
        imdb.append_flipped_images()
    net = caffe.Net(adapt_net(args.prototxt, imdb.num_classes, nets_dir()), args.caffemodel, caffe.TEST)
    SVMTrainer(net, imdb, columns).train()
    out = os.path.splitext(args.caffemodel)[0] + '_svm.caffemodel'
    net.save(out)
    write_class_names(out, classes)
    print("Wrote %s" % out)


if __name__ == '__main__':
    _cli.run(main)
