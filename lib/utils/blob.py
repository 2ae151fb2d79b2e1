"""From images to the image blob of a net, under the original's names, which forks import."""
import cv2
import numpy as np


def im_list_to_blob(ims):
    """Images [(h, w, 3), ...] -> (N, 3, H, W) float32, H and W the largest; zero padding at the right and bottom."""
    height, width = np.max([im.shape[:2] for im in ims], axis=0)
    blob = np.zeros((len(ims), 3, height, width), dtype=np.float32)
    for i, im in enumerate(ims):
        blob[i, :, :im.shape[0], :im.shape[1]] = im.transpose(2, 0, 1)
    return blob


def prep_im_for_blob(im, pixel_means, target_size, max_size):
    """Subtract the mean and scale the short side to target_size, the long side to at most max_size.

    im (H, W, 3) BGR; pixel_means broadcasts to it.  Returns (h, w, 3) float32 and the scale.  The mean is subtracted
    first, so that the interpolation works on floats.
    """
    im = (im - np.asarray(pixel_means)).astype(np.float32)
    short, long = sorted(im.shape[:2])
    im_scale = target_size / short
    if np.round(im_scale * long) > max_size:
        im_scale = max_size / long
    # A line may be thinner than half a pixel then.
    size = None if im_scale * short > 0.5 else [max(1, round(im_scale * n)) for n in im.shape[1::-1]]
    return cv2.resize(im, size, fx=im_scale, fy=im_scale, interpolation=cv2.INTER_LINEAR), im_scale
