"""Look through the files of a data set before training, and name everything that is wrong with them."""
import sys

from utils.errors import UserError


def check_imdb(imdb):
    """Every problem of the images and annotations of an imdb, one line each: [] where all is well."""
    return [problem for i in range(imdb.num_images) for problem in imdb.problems_at(i)]


def require_sound(imdb):
    """Print the problems of check_imdb on stderr; raise UserError with the count and the first, if any."""
    problems = check_imdb(imdb)
    if not problems:
        return
    if len(problems) == 1:
        raise UserError(problems[0])
    for problem in problems:
        print("%s: %s" % (imdb.name, problem), file=sys.stderr)
    raise UserError("%s has %d problems in its files, listed above; the first: %s"
                    % (imdb.name, len(problems), problems[0]))
