"""A trained detector for single images: what tools/demo.py and tools/detect.py share."""
import time
from pathlib import Path

import _classes
import _cli
import caffe
from _init_paths import ROOT
from datasets.propose import MODE, SAME_AS, search_boxes
from datasets.voc_layout import VOC_CLASSES
from fast_rcnn.class_names import BACKGROUND, shorten
from fast_rcnn.config import cfg, cfg_from_list, nets_dir
from fast_rcnn.prototxt import adapt_net
from fast_rcnn.test import image_detections
from utils.errors import UserError
from utils.selective_search import MODES

VOTERS = 0.05   # lowest score of the boxes that take part in TEST.BBOX_VOTE, test_net's default
PUBLISHED = {'vgg16': 'VGG16', 'zf': 'ZF'}      # --net of py-faster-rcnn's demo: its folder below models/pascal_voc
TEST_NETS = ('test.prototxt', 'faster_rcnn_test.pt')


def add_detector_flags(parser, net):
    """--net, by default `net`, --model, --def, --classes, --mode, and those of _cli.add_common_flags."""
    parser.add_argument('--net', default=net, help="a net of models/ (default: %s)"
                        % (net or "that of the caffemodel's training"))
    parser.add_argument('--model', metavar='FILE', help="caffemodel (default: the newest%s below output/)"
                        % (" of --net" if net else ""))
    parser.add_argument('--def', dest='prototxt', metavar='FILE', help="prototxt of the test net (default: --net's)")
    _classes.add_classes_flag(parser)
    parser.add_argument('--mode', choices=(*MODES, *SAME_AS), default=MODE,
                        help="of selective search, on images scaled down as by tools/propose.py (default: %(default)s)")
    _cli.add_common_flags(parser)


def load(args):
    """(net, class names with the background first) of the flags of add_detector_flags."""
    if args.net in PUBLISHED and not args.model:
        use_published(args)
    model = Path(args.model) if args.model else newest_model(args.net)
    _cli.need_file(model, '--model', "train one with experiments/scripts/fast_rcnn_ohem.sh")
    record = _classes.training_record(model)
    use_training_config(record)
    _cli.configure(args)
    classes = _classes.net_classes(model, args.classes)
    if classes is None:
        classes = _classes.assumed_classes(model, (BACKGROUND,) + VOC_CLASSES, "PASCAL VOC")
    print("Model: %s, %d classes and the background: %s" % (model, len(classes) - 1, shorten(classes[1:])))
    prototxt = adapt_net(args.prototxt or find_prototxt(args.net, model, record), len(classes), nets_dir())
    net = caffe.Net(prototxt, str(model), caffe.TEST)
    use_config_of(net, classes)
    print("Boxes: " + ("proposals of the net" if cfg.TEST.HAS_RPN else "selective search, " + args.mode), flush=True)
    return net, classes


def use_published(args):
    """Take the caffemodel and the prototxt that py-faster-rcnn's demo takes for a --net of PUBLISHED."""
    name = PUBLISHED[args.net]
    model = ROOT / 'data' / 'faster_rcnn_models' / f'{name}_faster_rcnn_final.caffemodel'
    if not model.is_file():
        raise UserError(f"--net {args.net}: {model} does not exist; fetch it with "
                        f"data/scripts/fetch_faster_rcnn_models.sh, or write --net {name} for a net of your own")
    args.model = str(model)
    if args.prototxt is None:
        args.prototxt = str(ROOT / 'models' / 'pascal_voc' / name / 'faster_rcnn_alt_opt' / 'faster_rcnn_test.pt')


def newest_model(net):
    """The caffemodel of `net`, or of any net, written last below output/."""
    models = list((ROOT / 'output').glob('*/*/%s_fast_rcnn*_iter_*.caffemodel' % (net.lower() if net else '*')))
    if not models:
        raise UserError("no trained %s below output/; train one: ./experiments/scripts/fast_rcnn_ohem.sh %s %s, "
                        "or name a file: --model FILE" % (net or 'net', cfg.GPU_ID, net or 'NET'))
    return max(models, key=lambda path: path.stat().st_mtime)


def use_training_config(record):
    """Scale images as the net was trained to see them."""
    if record:
        config = record['config']
        cfg_from_list(['PIXEL_MEANS', config['PIXEL_MEANS'], 'TEST.SCALES', config['TEST']['SCALES'],
                       'TEST.MAX_SIZE', config['TEST']['MAX_SIZE'],
                       'TEST.SCALE_MODE', config['TEST'].get('SCALE_MODE', 'per_roi')])


def find_prototxt(net, model, record):
    """The test net of `net`; without a net that next to the solver of the model's training."""
    if net:
        paths = sorted((ROOT / 'models').glob('*/%s/fast_rcnn/test.prototxt' % net))
        if not paths:
            raise UserError("--net %s: no folder models/*/%s; give the test net by --def FILE" % (net, net))
        return str(paths[0])
    folder = ROOT / Path(record.get('solver', '')).parent
    found = next((folder / name for name in TEST_NETS if record.get('solver') and (folder / name).is_file()), None)
    if found is None:
        raise UserError("%s: there is no record of its training that tells its net; name it with --net NAME or --def "
                        "FILE" % model)
    return str(found)


def use_config_of(net, classes):
    """Whether the net makes its own proposals, and whether all classes share their boxes, is to be seen from it."""
    cfg.TEST.HAS_RPN = 'im_info' in net.inputs
    cfg.TEST.AGNOSTIC = net.blobs['bbox_pred'].channels == 8 < 4 * len(classes)


def detect(net, im, mode, thresh, max_per_image=0):
    """[(class index, (n, 5) [x1 y1 x2 y2 score])] of the classes found in im (H, W, 3) BGR, and both parts' seconds.

    max_per_image: the best so many of all classes; 0: all.
    """
    start = time.monotonic()
    proposals = None if cfg.TEST.HAS_RPN else search_boxes(im, mode)
    proposed = time.monotonic()
    image_dets = image_detections(net, im, proposals, min(thresh, VOTERS), max_per_image)
    found = [(c, dets[dets[:, 4] >= thresh]) for c, dets in enumerate(image_dets) if (dets[:, 4] >= thresh).any()]
    return found, (proposed - start, time.monotonic() - proposed)
