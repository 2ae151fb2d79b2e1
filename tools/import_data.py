#!/usr/bin/env python
"""Make a data set in the VOC layout of the export of a labelling tool.

Reads PASCAL VOC (with or without ImageSets), YOLO, COCO JSON, CVAT for images, LabelMe, Label Studio JSON, the CSV of
the TensorFlow Object Detection API and that of Open Images; Roboflow's exports are among them.  Writes report.html,
a page to look at before training, into the new folder.
"""
import argparse
import os

import _cli
from _pages import write_data_page
from importers.cleaning import clean
from importers.fingerprint import fingerprint, is_import_of
from importers.recognise import FORMATS, read_export
from importers.splitting import split
from importers.write_voc import require_free, write_voc
from utils.errors import UserError

SHOWN = 10      # lines on what is wrong
IMAGES = 24     # of each set on the page


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', help="the unpacked export: images and annotations")
    parser.add_argument('--out', metavar='FOLDER', help="folder to write (default: data/ and the name of the export)")
    parser.add_argument('--format', choices=FORMATS, help="the format to read, if the folder holds several")
    parser.add_argument('--copy', action='store_true', help="copy the images (default: link to them)")
    parser.add_argument('--seed', type=_cli.parse_count(0), default=3, metavar='N',
                        help="of the split, where the export has none (default: %(default)s)")
    parser.add_argument('--reuse', action='store_true',
                        help="do nothing if --out was imported from this folder, which has not changed since")
    parser.add_argument('--skip-bad', action='store_true',
                        help="leave out objects and images that are wrong; import.json lists them (default: stop)")
    return _cli.parse(parser)


def main():
    args = parse_args()
    out = args.out or os.path.join('data', os.path.basename(os.path.abspath(args.folder)))
    if args.reuse and is_import_of(out, args.folder):
        print(f"{out} is there already, imported from {args.folder}; remove it to import it again")
        return
    require_free(out)
    digest = fingerprint(args.folder)
    export = read_export(args.folder, args.format)
    print(f"{args.folder}: {export.what}, {len(export.images)} images, "
          f"{sum(len(image.objects) for image in export.images)} objects", flush=True)
    cleaned = clean(export)
    tell(export.remarks + cleaned.clipped[:1])
    if len(cleaned.clipped) > 1:
        print(f"  and {len(cleaned.clipped) - 1} more boxes were clipped")
    take_bad(cleaned.bad, args.skip_bad)
    sets, rule = split(cleaned.images, args.seed)
    print(f"Split: {sets.count('trainval')} images train, {sets.count('test')} test; {rule}")
    record = {"source": os.path.abspath(os.path.expanduser(args.folder)), "fingerprint": digest,
              "format": export.what, "split": rule,
              "left_out": cleaned.bad, "remarks": export.remarks + cleaned.clipped}
    write_voc(out, cleaned.images, sets, cleaned.classes, record, args.copy)
    print(f"Wrote {out}: {len(cleaned.classes)} classes: {', '.join(cleaned.classes)}")
    write_data_page(f"voc:{out}", os.path.join(out, "report.html"), IMAGES)
    print(f"Next: ./experiments/scripts/fast_rcnn_ohem.sh cpu SqueezeNet {out}")


def tell(lines):
    for line in lines:
        print(f"  {line}", flush=True)


def take_bad(bad, skip):
    """Print what is wrong; UserError unless it is to be left out."""
    if not bad:
        return
    tell(bad[:SHOWN])
    if len(bad) > SHOWN:
        print(f"  and {len(bad) - SHOWN} more")
    if not skip:
        raise UserError(f"{len(bad)} objects or images are wrong, the first: {bad[0]}; correct them, or leave them out "
                        "with --skip-bad")
    print(f"{len(bad)} objects or images are left out; import.json lists them")


if __name__ == '__main__':
    _cli.run(main)
