"""Testing a Fast R-CNN net: boxes of one image (im_detect), its detections, detections of an image set (test_net)."""
import os

import cv2
import numpy as np
from datasets.check import tell_images_without_objects
from datasets.imdb_base import completed
from utils.blob import im_list_to_blob, prep_im_for_blob
from utils.caffe_extensions import join
from utils.errors import UserError
from utils.images import read_image
from utils.progress import progress

from fast_rcnn.bbox_transform import bbox_transform_inv, clip_boxes
from fast_rcnn.bbox_voting import bbox_vote
from fast_rcnn.class_names import class_columns, take_columns
from fast_rcnn.config import cfg, check_cfg, get_output_dir
from fast_rcnn.detections import DETECTIONS_FILE, save_detections
from fast_rcnn.finite import FiniteCheck, require_finite
from fast_rcnn.multi_stage import class_dets, high_scoring
from fast_rcnn.nms_wrapper import nms


def im_detect(net, im, boxes=None, columns=None):
    """Scores and boxes of every class for every proposal in an image.

    im (H, W, 3) uint8 BGR; boxes (R, 4) [x1 y1 x2 y2] pixels of im, or None for a net that proposes its own
    (TEST.HAS_RPN).  columns (K,): the net's class for each class, of class_names.class_columns; None: the net's order.
    Returns scores (R, K) and pred_boxes (R, 4*K), class c in columns 4c .. 4c+3.  With TEST.SCALE_MODE 'all' the rows
    of one scale follow those of the other: (S*R, K) and (S*R, 4*K).

    1. Scale the image (to each of TEST.SCALES) and the boxes with it.
    2. Of boxes that fall on the same cells of the feature map (DEDUP_BOXES) run only the first.
    3. Predict boxes by regression, clipped to the image; without TEST.BBOX_REG they are the proposals.
    4. Give the others what their first one got, its boxes too (as the original does).

    Scores or boxes that are not finite are a NotFiniteError.
    """
    scores, pred_boxes, _ = zip(*_passes(net, im, boxes, columns))
    return np.concatenate(scores), np.concatenate(pred_boxes)


def image_detections(net, im, boxes, thresh, max_per_image, columns=None):
    """Detections in an image: for each class (n, 5) float32 [x1 y1 x2 y2 score] by falling score, none of class 0.

    im, boxes and columns as for im_detect; thresh and max_per_image as for test_net.

    1. Candidates: the boxes of im_detect that score above thresh; with TEST.MULTI_STAGE also those of a second look at
       the best of them.
    2. NMS, then the max_per_image best of all classes.
    3. With TEST.BBOX_VOTE each moves to where the candidates around it are; its score stays.
    """
    candidates = _candidates(net, im, boxes, thresh, columns)
    image_dets = _best([dets[nms(dets, cfg.TEST.NMS)] for dets in candidates], max_per_image)
    if not cfg.TEST.BBOX_VOTE:
        return image_dets
    return [bbox_vote(dets, around, cfg.TEST.BBOX_VOTE_THRESH) for dets, around in zip(image_dets, candidates)]


def _candidates(net, im, boxes, thresh, columns):
    """For each class (n, 5) float32: what every pass, and every second stage, scores above thresh; before NMS."""
    parts = []
    for scores, pred_boxes, im_scales in _passes(net, im, boxes, columns):
        parts.append(class_dets(scores, pred_boxes, thresh))
        if cfg.TEST.MULTI_STAGE:
            parts.append(_second_stage(net, im, im_scales, scores, pred_boxes, thresh, columns))
    return [np.concatenate(of_class) for of_class in zip(*parts)]


def _second_stage(net, im, im_scales, scores, pred_boxes, thresh, columns):
    """class_dets of the pass's high-scoring boxes, run through the RoI layers over the features that the net holds."""
    boxes, classes = high_scoring(scores, pred_boxes, cfg.TEST.MULTI_STAGE_THRESH, cfg.TEST.MULTI_STAGE_NMS)
    if len(boxes) == 0:
        return class_dets(scores[:0], pred_boxes[:0], thresh)
    rois = _get_rois_blob(boxes, im_scales)
    net.blobs['rois'].reshape(*rois.shape)
    net.blobs['rois'].data[...] = rois
    reader = next(name for name, bottoms in net.bottom_names.items() if 'rois' in bottoms)
    outputs = net.forward(start=reader)
    found = take_columns(*_predict(net, outputs, boxes, im.shape), columns)
    return class_dets(*found, thresh, classes)    # whose regressor made the box that was seen


def _passes(net, im, boxes, columns):
    """Run the net on im at its scale or scales; yields (scores, pred_boxes, im_scales) of each pass.

    The net holds the features of the pass until the next is asked for.  TEST.SCALE_MODE 'all' is a pass for each scale;
    TEST.SCALES that TEST.MAX_SIZE makes equal are one.
    """
    check_cfg('TEST')
    if boxes is None and not cfg.TEST.HAS_RPN:
        raise UserError("im_detect needs the proposals of the image; set TEST.HAS_RPN for a net that makes its own")
    run, done = _run_with_rpn if cfg.TEST.HAS_RPN else _run_on_boxes, set()
    for sizes in [[size] for size in cfg.TEST.SCALES] if cfg.TEST.SCALE_MODE == 'all' else [cfg.TEST.SCALES]:
        data, im_scales = _image_pyramid(im, sizes)
        if tuple(im_scales) not in done:
            done.add(tuple(im_scales))
            yield (*take_columns(*run(net, im, boxes, data, im_scales), columns), im_scales)


def _run_on_boxes(net, im, boxes, data, im_scales):
    """Scores and boxes for the proposals (R, 4), by a net with inputs data and rois."""
    if len(boxes) == 0:  # a C++ Caffe refuses empty blobs
        num_classes = net.blobs['cls_prob'].data.shape[1]
        return np.zeros((0, num_classes), np.float32), np.zeros((0, 4 * num_classes), np.float32)
    rois = _get_rois_blob(boxes, im_scales)
    index, inverse = _first_of_equal(rois, cfg.DEDUP_BOXES)
    outputs = _forward(net, {'data': data, 'rois': rois[index]})
    scores, pred_boxes = _predict(net, outputs, boxes[index], im.shape)
    return scores[inverse], pred_boxes[inverse]


def _run_with_rpn(net, im, _, data, im_scales):
    """The same by a net with inputs data and im_info [height width scale], whose blob `rois` holds its proposals."""
    if len(im_scales) != 1:
        raise UserError("a net with an RPN sees one scale in a pass; set TEST.SCALES to one number, or TEST.SCALE_MODE "
                        "all; got %s" % list(cfg.TEST.SCALES))
    im_info = np.array([[*data.shape[2:], im_scales[0]]], dtype=np.float32)
    outputs = _forward(net, {'data': data, 'im_info': im_info})
    return _predict(net, outputs, net.blobs['rois'].data[:, 1:5] / im_scales[0], im.shape)


def _forward(net, blobs):
    """Run the net on input blobs {name: array}; returns its outputs {name: array}."""
    for name, array in blobs.items():
        net.blobs[name].reshape(*array.shape)
    return net.forward(**blobs)


def _predict(net, outputs, boxes, im_shape):
    """Scores (R, K) and boxes (R, 4*K) from the net's outputs for boxes (R, 4); arrays of their own."""
    scores = np.array(net.blobs['cls_score'].data if cfg.TEST.SVM else outputs['cls_prob'])
    if not cfg.TEST.BBOX_REG:
        require_finite(net, scores)
        return scores, np.tile(boxes, (1, scores.shape[1]))
    deltas = outputs['bbox_pred']
    if cfg.TEST.AGNOSTIC:
        deltas = np.tile(deltas[:, 4:8], (1, scores.shape[1]))  # (R, 8) -> (R, 4*K)
    pred_boxes = clip_boxes(bbox_transform_inv(boxes, deltas), im_shape)
    require_finite(net, scores, pred_boxes)
    return scores, pred_boxes


def _first_of_equal(rois_blob, scale):
    """Indices of the first of equal RoIs, and for each RoI its place among those.

    rois_blob (R, 5) [level x1 y1 x2 y2]; equal: the same after rounding all columns times scale.  scale 0: all differ.
    """
    if scale <= 0:
        return np.arange(len(rois_blob)), np.arange(len(rois_blob))
    cells = np.round(rois_blob * scale).astype(np.int64)
    cells -= cells.min(axis=0)
    numbers = np.ravel_multi_index(cells.T, cells.max(axis=0) + 1)  # (R, 5) -> (R,), one number for each distinct row
    return np.unique(numbers, return_index=True, return_inverse=True)[1:]


def _image_pyramid(im, sizes):
    """The image pyramid (S, 3, H, W) float32, one level for each short side in `sizes`, and the scales (S,)."""
    levels = [prep_im_for_blob(im, cfg.PIXEL_MEANS, size, cfg.TEST.MAX_SIZE) for size in sizes]
    ims, im_scales = zip(*levels)
    return im_list_to_blob(ims), np.array(im_scales)


def _get_image_blob(im):
    """The image pyramid (S, 3, H, W) of TEST.SCALES, and the scales (S,); the original's name, which forks import."""
    return _image_pyramid(im, cfg.TEST.SCALES)


def _get_rois_blob(im_rois, im_scales):
    """(R, 4) boxes -> (R, 5) float32 [level x1 y1 x2 y2], at the level where the area is nearest 224 x 224."""
    rois, levels = _project_im_rois(im_rois, im_scales)
    return np.hstack((levels, rois)).astype(np.float32)


def _project_im_rois(im_rois, im_scales):
    """(R, 4) float64 boxes in pixels of their level, and the level (R, 1) of each."""
    im_rois = im_rois.astype(np.float64, copy=False)
    areas = (im_rois[:, 2] - im_rois[:, 0] + 1) * (im_rois[:, 3] - im_rois[:, 1] + 1)
    scaled_areas = areas[:, np.newaxis] * im_scales ** 2  # (R, S)
    levels = np.abs(scaled_areas - 224 * 224).argmin(axis=1)[:, np.newaxis]  # (R, 1), 0 for one scale
    return im_rois * im_scales[levels], levels


def _get_blobs(im, rois):
    """({'data': the pyramid, 'rois': _get_rois_blob of boxes (R, 4)}, the scales); the original's name.

    rois stays None for a net that makes its own (TEST.HAS_RPN).
    """
    data, im_scales = _get_image_blob(im)
    return {'data': data, 'rois': None if cfg.TEST.HAS_RPN else _get_rois_blob(rois, im_scales)}, im_scales


def vis_detections(im, class_name, dets, thresh=0.3):
    """Show the first 10 of dets (N, 5) [x1 y1 x2 y2 score] that score above thresh on im (H, W, 3) BGR, each by itself;
    the original's name."""
    import matplotlib.pyplot as plt  # which takes long, for what few call
    for *corners, score in dets[:10]:
        if score > thresh:
            x1, y1, x2, y2 = corners
            plt.cla()
            plt.imshow(im[:, :, ::-1])      # BGR -> RGB
            plt.gca().add_patch(plt.Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor='g', linewidth=3))
            plt.title('%s  %.3f' % (class_name, score))
            plt.show()


def apply_nms(all_boxes, thresh):
    """all_boxes[class][image] (n, 5), see detections.py, after NMS of each."""
    return [[dets[nms(dets, thresh)] if len(dets) else dets for dets in boxes_of_images]
            for boxes_of_images in all_boxes]


def test_net(net, imdb, max_per_image=100, thresh=0.05, vis=False, classes=None):
    """Detect in all images of imdb, write detections.npz to the output folder, and evaluate.

    thresh: detections need a score above it.  max_per_image: how many of an image are kept over all classes, more if
    the last ones tie; 0: all.  vis: also write pictures.  classes: the net's, by name, the background first; None:
    imdb's, in its order, which detections are in.  Returns what imdb.evaluate_detections returns.  Of several processes
    each detects in its share of the images, and rank 0 does the rest; the others return None.
    """
    check_cfg('TEST')
    imdb = completed(imdb)
    columns = None if classes is None else class_columns(classes, imdb.classes, net.name, imdb.name)
    output_dir = get_output_dir(imdb, net)
    nccl = join()
    with nccl.root_first():
        roidb = _ground_truth(imdb) if cfg.TEST.HAS_RPN else imdb.roidb     # either looks through the files first
    if roidb is not None:
        tell_images_without_objects(imdb, roidb, share=1)
    all_boxes = [[] for _ in range(imdb.num_classes)]
    finite = FiniteCheck(net)
    for i in progress(range(nccl.rank, len(imdb.image_index), nccl.count), "test " + imdb.name, unit="im"):
        path = imdb.image_path_at(i)
        im = read_image(path)
        proposals = None if cfg.TEST.HAS_RPN else roidb[i]['boxes'][roidb[i]['gt_classes'] == 0]
        with finite.image(path):
            image_dets = image_detections(net, im, proposals, thresh, max_per_image, columns)
        if len(image_dets) != imdb.num_classes:
            raise UserError("net %s scores %d classes, but %s has %d; change num_output of its cls_score and bbox_pred"
                            % (net.name, len(image_dets), imdb.name, imdb.num_classes))
        for dets_of_images, dets in zip(all_boxes, image_dets):
            dets_of_images.append(dets)
        if vis:
            picture = os.path.join(output_dir, 'vis', '%s.jpg' % imdb.image_index[i])
            _write_picture(picture, im, image_dets, imdb.classes)
    shares = nccl.gather(all_boxes)
    if shares is None:
        return None
    all_boxes = [_dealt_back(of_class) for of_class in zip(*shares)]
    save_detections(os.path.join(output_dir, DETECTIONS_FILE), all_boxes, imdb)
    return imdb.evaluate_detections(all_boxes, output_dir)


test_net.__test__ = False  # type: ignore[attr-defined]  # not a test to pytest


def _ground_truth(imdb):
    """The gt roidb, or None of a fork's imdb that has none, which the original does not ask for where the net has an
    RPN."""
    return imdb.gt_roidb() if hasattr(imdb, 'gt_roidb') else None


def _dealt_back(shares):
    """[a0 a2 a4], [a1 a3] -> [a0 a1 a2 a3 a4]."""
    items = [None] * sum(map(len, shares))
    for rank, share in enumerate(shares):
        items[rank::len(shares)] = share
    return items


def _best(image_dets, max_per_image):
    """The max_per_image best of all classes; all that tie with the last one stay."""
    scores = np.concatenate([dets[:, 4] for dets in image_dets])
    if not 0 < max_per_image < len(scores):
        return image_dets
    lowest = np.sort(scores)[-max_per_image]
    return [dets[dets[:, 4] >= lowest] for dets in image_dets]


def _write_picture(path, im, image_dets, classes, thresh=0.3):
    """Write im with the detections of score >= thresh to `path`."""
    im = im.copy()
    for name, dets in zip(classes, image_dets):
        for x1, y1, x2, y2, score in dets[dets[:, 4] >= thresh].tolist():
            cv2.rectangle(im, (round(x1), round(y1)), (round(x2), round(y2)), (0, 0, 255), 2)
            cv2.putText(im, "%s %.2f" % (name, score), (round(x1), max(12, round(y1) - 3)),
                        cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 255), 1, cv2.LINE_AA)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    cv2.imwrite(path, im)
