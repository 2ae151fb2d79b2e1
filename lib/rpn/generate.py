"""Proposals of a trained region proposal network, for a detector that is trained on them by itself."""

import numpy as np
from fast_rcnn.bbox_transform import clip_boxes
from fast_rcnn.config import cfg, check_cfg
from fast_rcnn.finite import FiniteCheck, require_finite
from utils.blob import im_list_to_blob, prep_im_for_blob
from utils.errors import UserError
from utils.images import read_image
from utils.progress import progress


def im_proposals(net, im):
    """(boxes (R, 4), scores (R,)) of im (H, W, 3) uint8 BGR, float32, pixels of im, by falling score.

    net: takes data and im_info [height width scale], and has the blobs rois and scores.
    """
    check_cfg("TEST")
    if len(cfg.TEST.SCALES) != 1:
        raise UserError("an RPN makes proposals at one scale; set TEST.SCALES to one number, got %s"
                        % list(cfg.TEST.SCALES))
    data, im_info = _get_image_blob(im)
    im_scale = im_info[0, 2]
    for name, array in (("data", data), ("im_info", im_info)):
        net.blobs[name].reshape(*array.shape)
    net.forward(data=data, im_info=im_info)
    boxes, scores = net.blobs["rois"].data[:, 1:] / im_scale, net.blobs["scores"].data[:, 0].copy()
    require_finite(net, boxes, scores)
    return clip_boxes(boxes, im.shape), scores


def _get_image_blob(im):
    """data blob (1, 3, H, W) of an image at TEST.SCALES, and im_info (1, 3) [height width scale].

    The original's name, which forks import.
    """
    scaled, im_scale = prep_im_for_blob(im, cfg.PIXEL_MEANS, cfg.TEST.SCALES[0], cfg.TEST.MAX_SIZE)
    data = im_list_to_blob([scaled])
    return data, np.array([[*data.shape[2:], im_scale]], dtype=np.float32)


def imdb_proposals(net, imdb):
    """The boxes of every image of imdb, a list of (R, 4); mirrored images are not looked at."""
    box_list, finite = [], FiniteCheck(net)
    for i in progress(range(imdb.num_images), "proposals of " + imdb.name, unit="images"):
        path = imdb.image_path_at(i)
        with finite.image(path):
            box_list.append(im_proposals(net, read_image(path))[0])
    return box_list
