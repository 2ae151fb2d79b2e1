"""Tells whether a folder was imported from an export that has not changed since."""
import hashlib
import json
import os

from datasets.content_hash import file_hash
from utils.errors import UserError

from importers.tree import Tree
from importers.write_voc import RECORD

ANNOTATIONS = (".xml", ".txt", ".json", ".csv", ".yaml", ".yml", ".names", ".labels")


def fingerprint(folder: str) -> str:
    """A digest of an export: the names and sizes of its images, the names and bytes of its annotation files."""
    tree = Tree(folder)
    images = [(file, os.path.getsize(tree.path(file))) for file in tree.images]
    annotations = [(file, file_hash(tree.path(file))) for file in tree.with_extension(*ANNOTATIONS)]
    return hashlib.sha256(json.dumps([images, annotations]).encode()).hexdigest()


def is_import_of(out: str, folder: str) -> bool:
    """Whether `out` was imported from `folder`; False where there is no `out`.

    Raises UserError if `folder` changed since, or if `out` is something else.
    """
    if not os.path.exists(out):
        return False
    path = os.path.join(out, RECORD)
    try:
        with open(path, encoding="utf-8") as f:
            record = json.load(f)
    except (OSError, ValueError):
        record = {}
    source = record.get("source") if isinstance(record, dict) else None
    if source != os.path.abspath(os.path.expanduser(folder)):
        raise UserError(f"{out} exists and was not imported from {folder}, but from {source or 'no export'}; import to "
                        "another folder with --out, or remove it")
    if record.get("fingerprint") != fingerprint(folder):
        raise UserError(f"{out} was imported from {folder}, which has changed since; remove {out} to import it again, "
                        "or import to another folder with --out")
    return True
