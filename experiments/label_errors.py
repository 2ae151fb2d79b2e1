#!/usr/bin/env python
"""Plant label errors in a copy of a VOC-layout set, and score a list of suspects against them.

    python experiments/label_errors.py plant data/digits data/digits_spoiled --share 0.05 --seed 1
    python experiments/label_errors.py score data/digits_spoiled output/.../suspects.csv

`plant` drops a share of the boxes of the training set and changes the class of as many, and writes them to
planted_errors.csv (image, kind, class, x1, y1, x2, y2 in 0-based pixels; of a changed one the class before).
Images and lists are links to those of the original.  `score` prints, for each kind, precision at k and recall within
the first 2k suspects of that kind, k the number of planted errors: in the order of the list, in the order of the
detections' scores alone, and in a random order.
"""
import argparse
import csv
import os
import random
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

PLANTED = "planted_errors.csv"
PROPOSALS = "selective_search_data"
COLUMNS = ("image", "kind", "class", "x1", "y1", "x2", "y2")
CORNERS = ("xmin", "ymin", "xmax", "ymax")
SAME = {"missing": 0.5, "class": 0.7}       # IoU from which a suspect is the planted error


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    plant = commands.add_parser("plant")
    plant.add_argument("folder", type=Path)
    plant.add_argument("out", type=Path)
    plant.add_argument("--share", type=float, default=0.05, help="of the boxes, for each kind (default: 0.05)")
    plant.add_argument("--seed", type=int, default=1)
    plant.add_argument("--list", default="trainval", help="image set that is spoiled (default: trainval)")
    score = commands.add_parser("score")
    score.add_argument("folder", type=Path)
    score.add_argument("suspects", type=Path)
    args = parser.parse_args()
    if args.command == "plant":
        print_planted(plant_errors(args.folder, args.out, args.list, args.share, args.seed))
    else:
        for kind in SAME:
            print_scores(kind, read_rows(args.folder / PLANTED), read_rows(args.suspects))


def plant_errors(folder, out, image_set, share, seed):
    """Write the spoiled copy; returns the planted errors as rows {column: value}."""
    if out.exists():
        sys.exit(f"error: {out} exists; name a new folder")
    out.mkdir(parents=True)
    for path in folder.iterdir():
        if path.name not in ("Annotations", PROPOSALS):
            os.symlink(path.resolve(), out / path.name)
    (out / "Annotations").mkdir()
    link_proposals(folder, out)
    names = [line.split()[0] for line in (folder / "ImageSets" / "Main" / (image_set + ".txt"))
             .read_text(encoding="utf-8").splitlines() if line.strip()]
    trees = {path.stem: ET.parse(path) for path in sorted((folder / "Annotations").glob("*.xml"))}
    errors = spoil({name: trees[name] for name in names}, share, random.Random(seed))
    for name, tree in trees.items():
        tree.write(out / "Annotations" / (name + ".xml"), encoding="utf-8")
    with open(out / PLANTED, "w", encoding="utf-8", newline="") as f:
        writer = csv.DictWriter(f, COLUMNS)
        writer.writeheader()
        writer.writerows(errors)
    return errors


def link_proposals(folder, out):
    """Link the files of proposals, whose names begin with that of the folder."""
    (out / PROPOSALS).mkdir()
    for path in (folder / PROPOSALS).glob(folder.name + "_*"):
        os.symlink(path.resolve(), out / PROPOSALS / (out.name + path.name.removeprefix(folder.name)))


def spoil(trees, share, rng):
    """Drop and rename objects of {image: ElementTree}, but no difficult ones; returns the errors."""
    objects = [(name, element) for name, tree in trees.items() for element in tree.findall("object")
               if (element.findtext("difficult") or "0") == "0"]
    classes = sorted({element.findtext("name") for _, element in objects})
    chosen = rng.sample(objects, 2 * round(share * len(objects)))
    errors = []
    for k, (name, element) in enumerate(chosen):
        kind, label = ("missing", "class")[k % 2], element.findtext("name")
        corners = [float(element.find("bndbox").findtext(corner)) - 1 for corner in CORNERS]
        errors.append(dict(zip(COLUMNS, (name, kind, label, *corners))))
        if kind == "missing":
            trees[name].getroot().remove(element)
        else:
            element.find("name").text = rng.choice([other for other in classes if other != label])
    return errors


def scores(kind, planted, suspects):
    """(k, precision at k, recall within 2k) of the suspects of a kind, by rank; each planted error is found once."""
    errors = [row for row in planted if row["kind"] == kind]
    open_errors, found = list(errors), []
    for suspect in [row for row in suspects if row["kind"] == kind][:2 * len(errors)]:
        hit = next((row for row in open_errors if row["image"] == suspect["image"]
                    and iou(box_of(row), box_of(suspect)) >= SAME[kind]), None)
        found.append(hit is not None)
        if hit is not None:
            open_errors.remove(hit)
    k = len(errors)
    return k, sum(found[:k]) / max(k, 1), sum(found) / max(k, 1)


def print_planted(errors):
    kinds = [row["kind"] for row in errors]
    print(f"Planted {kinds.count('missing')} missing objects and {kinds.count('class')} wrong classes")


def print_scores(kind, planted, suspects):
    shuffled = random.Random(0).sample(suspects, len(suspects))
    detected = sorted(suspects, key=lambda row: -float(row.get("detected") or 0))
    for order, rows in (("by score", suspects), ("by detections alone", detected), ("in random order", shuffled)):
        k, precision, recall = scores(kind, planted, rows)
        print(f"{kind}: {k} planted; {order}: precision at k {precision:.3f}, recall within 2k {recall:.3f}")


def read_rows(path):
    with open(path, encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


def box_of(row):
    return [float(row[name]) for name in COLUMNS[3:]]


def iou(a, b):
    """Intersection over union of two boxes [x1 y1 x2 y2] whose last pixels belong to them."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


if __name__ == "__main__":
    main()
