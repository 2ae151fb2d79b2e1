"""Check the files of data sets before any work starts, and report every problem."""
import sys

from utils.errors import UserError
from utils.progress import progress


def check_imdb(imdb):
    """Every problem of the images and annotations of an imdb, one line each: [] where all is well."""
    images = progress(range(imdb.num_images), imdb.name + " check", imdb.num_images, "images")
    return imdb.general_problems() + [problem for i in images for problem in imdb.problems_at(i)]


def require_sound(*imdbs):
    """Print the problems of check_imdb on stderr; raise UserError with the count and the first, if any."""
    _require(imdbs, [])


def require_checked(*imdbs):
    """As require_sound, but skips cached ground truth, which was checked before."""
    _require(_unchecked(imdbs), [])


def require_trainable(*imdbs):
    """As require_checked; checks the proposal files too."""
    _require(_unchecked(imdbs), [(imdb.name, problem) for imdb in imdbs for problem in imdb.missing_proposals()])


def tell_images_without_objects(imdb, roidb, share: float):
    """Print how many images have no ground truth in the roidb of an imdb, where these are more than `share` of them, or
    all: annotations in another form than they are read in look so."""
    empty = [i for i, entry in enumerate(roidb) if not (entry["gt_classes"] > 0).any()]
    is_annotated = getattr(imdb, "annotated", True)         # a fork's imdb may not say it
    if is_annotated and empty and (len(empty) > share * len(roidb) or len(empty) == len(roidb)):
        print("%s: %d of %d images have no object, the first is %s; if this is not intended, correct their annotations"
              % (imdb.name, len(empty), len(roidb), imdb.image_path_at(empty[0])), flush=True)


def _unchecked(imdbs):
    return [imdb for imdb in imdbs if not (imdb.is_known_sound or imdb.has_stored_gt())]


def _require(imdbs, problems):
    """Raise UserError if `problems` or the imdbs have problems; print the remarks of the check."""
    require_none(problems + [(imdb.name, problem) for imdb in imdbs for problem in check_imdb(imdb)])
    for imdb in imdbs:
        imdb.is_known_sound = True
        for remark in imdb.remarks():
            print("%s: %s" % (imdb.name, remark), flush=True)


def require_none(problems):
    """Raise UserError if there are problems, (name of the data set, problem) pairs; several are printed."""
    if not problems:
        return
    if len(problems) == 1:
        raise UserError(problems[0][1])
    for name, problem in problems:
        print("%s: %s" % (name, problem), file=sys.stderr)
    names = list(dict.fromkeys(name for name, _ in problems))
    raise UserError("%s %s %d problems in %s files, listed above; the first: %s"
                    % (" and ".join(names), *(("has", len(problems), "its") if len(names) == 1 else
                                              ("have", len(problems), "their")), problems[0][1]))
