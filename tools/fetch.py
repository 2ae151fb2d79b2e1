#!/usr/bin/env python3
"""Fetch what data/scripts/sources.json names into data/: download, check, unpack. data/scripts/fetch_*.sh call this.

Needs nothing but Python, so it runs before `make setup`.
"""
import argparse
import json
import os
import shutil
import signal
import sys
import tempfile

from _init_paths import ROOT
from utils.download import NotFetched, fetch, mismatch
from utils.errors import UserError
from utils.safe_unpack import move_into, unpack


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0],
                                     epilog="OHEM_MIRRORS holds further mirrors, separated by spaces.")
    parser.add_argument("name", nargs="?", help="what to fetch; --list shows the names")
    parser.add_argument("parts", nargs="*", metavar="PART", help="parts of it, e.g. 2007 2012 of voc; or all")
    parser.add_argument("--mirror", action="append", default=[], metavar="URL",
                        help="try this after the original addresses: a folder or the file itself; may be repeated")
    parser.add_argument("--from-file", action="append", default=[], metavar="FILE",
                        help="take this file instead of downloading it; may be repeated")
    parser.add_argument("--to", default=os.path.join(ROOT, "data"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--keep", action="store_true", help="keep what was downloaded once it is unpacked")
    parser.add_argument("--force", action="store_true", help="fetch also what is there, and replace its files")
    parser.add_argument("--list", action="store_true", help="show all names, parts, files and addresses")
    parser.add_argument("--sources", default=os.path.join(ROOT, "data", "scripts", "sources.json"), metavar="FILE",
                        help="table of what can be fetched (default: %(default)s)")
    args = parser.parse_intermixed_args()
    args.to = os.path.abspath(args.to)
    return args


def main():
    args = parse_args()
    with open(args.sources, encoding="utf-8") as f:
        table = json.load(f)
    if args.list:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)               # as `| head` expects
        return show(table, args.to)
    if args.name not in table:
        raise UserError("fetch what? got %s, expected one of %s" % (args.name or "no name", ", ".join(table)))
    archives = choose(table[args.name], args.parts, args.name)
    given = match_files(args.from_file, archives)
    mirrors = check_mirrors(args.mirror + os.environ.get("OHEM_MIRRORS", "").split())
    os.makedirs(args.to, exist_ok=True)
    for archive in archives:
        obtain(archive, given.get(archive["file"]), mirrors, args, table[args.name]["otherwise"])


def choose(source, parts, name):
    """The archives of the parts named, or of the default ones."""
    known = sorted({archive["part"] for archive in source["archives"] if "part" in archive})
    for part in parts:
        if part != "all" and part not in known:
            raise UserError("%s has no part %r; it has %s" % (name, part, ", ".join(known) or "no parts"))
    if not parts:
        return [archive for archive in source["archives"] if archive.get("default")]
    return [archive for archive in source["archives"] if "all" in parts or archive.get("part") in parts]


def match_files(files, archives):
    """{archive's file name: the file the user has}; a single archive may have any name."""
    names = [archive["file"] for archive in archives]
    given = {}
    for path in files:
        if not os.path.isfile(path):
            raise UserError("--from-file %s: no such file" % path)
        name = names[0] if len(names) == 1 else os.path.basename(path)
        if name not in names:
            raise UserError("--from-file %s: expected a file called %s" % (path, " or ".join(names)))
        given[name] = path
    return given


def check_mirrors(mirrors):
    for url in mirrors:
        if not url.startswith(("http://", "https://")):
            raise UserError("mirror %r: expected an address with http:// or https:// (--from-file takes files)" % url)
    return mirrors


def mirror_url(mirror, filename):
    """The address of the file: the mirror itself where it ends in the file's name, else inside that folder."""
    if mirror.split("?")[0].endswith("/" + filename):
        return mirror
    return mirror.rstrip("/") + "/" + filename


def obtain(archive, given, mirrors, args, otherwise):
    """One archive: nothing where its files are there, else download or take the given file, check it, unpack it."""
    marks = [os.path.join(args.to, path) for path in archive["gives"]]
    if not args.force and all(os.path.exists(path) for path in marks):
        print("%s: already there (%s); --force fetches it again" % (archive["file"], marks[0]))
        return
    if given:
        problem = mismatch(given, archive["checksum"])
        if problem:
            raise UserError("%s; it is left as it is: if it is meant so, unpack it by hand" % problem)
        install(archive, given, args.to, marks, args.force)
        return
    path = os.path.join(args.to, archive["file"])
    fetched = not there_and_right(path, archive["checksum"])
    if fetched:
        download(archive, path, mirrors, otherwise)
    try:
        install(archive, path, args.to, marks, args.force)
    except UserError:
        if not archive["checksum"]:
            os.replace(path, path + ".bad")                         # else the next run would take it for the right one
        raise
    if fetched and not args.keep:
        os.remove(path)


def there_and_right(path, checksum):
    """Whether the archive lies there, put there or left by an earlier run; a wrong one is set aside."""
    if not os.path.exists(path):
        return False
    problem = mismatch(path, checksum)
    if problem:
        os.replace(path, path + ".bad")
        print("%s; kept as %s.bad" % (problem, path), file=sys.stderr)
    return not problem


def download(archive, path, mirrors, otherwise):
    """Make `path` from the original addresses or the mirrors; where none works, say what else can be done."""
    urls = [source["url"] for source in archive["urls"]] + [mirror_url(m, archive["file"]) for m in mirrors]
    try:
        fetch(urls, path, archive["checksum"])
    except NotFetched as e:
        remedies = ["give a mirror with --mirror URL", "or a copy you have with --from-file %s" % archive["file"]]
        raise UserError("%s; %s" % (e, ", ".join(remedies + (["or " + otherwise] if otherwise else [])))) from e


def install(archive, path, to, marks, replace):
    """Unpack beside the target and move in place what came out, the files that tell it is complete last."""
    target = os.path.join(to, archive.get("into", ""))
    print("Unpacking %s" % path, flush=True)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=to) as temp:
        if archive.get("plain"):
            shutil.copyfile(path, os.path.join(temp, archive["file"]))
        else:
            unpack(path, temp)
        root = os.path.join(temp, archive.get("drop", ""))
        for mark in marks:
            if not os.path.exists(os.path.join(root, os.path.relpath(mark, target))):
                raise UserError("%s holds no %s; it is not the file it should be" % (path, os.path.relpath(mark, to)))
        kept = move_into(root, target, marks, replace)
    if kept:
        print("kept %d files that were there, e.g. %s; --force replaces them" % (len(kept), kept[0]))
    print("%s: %s" % (archive["file"], ", ".join(marks)), flush=True)


def show(table, to):
    for name, source in table.items():
        print("%s: %s" % (name, source["what"]))
        for archive in source["archives"]:
            there = all(os.path.exists(os.path.join(to, path)) for path in archive["gives"])
            part = "part %s%s, " % (archive["part"], " (default)" if "default" in archive else "") \
                if "part" in archive else ""
            print("  %s  %s%s, %s%s" % (archive["file"], part, archive["size"],
                                        archive["checksum"] or "no checksum known", ", there" if there else ""))
            for url in archive["urls"]:
                print("    %s%s" % (url["url"], "  (%s)" % url["state"] if url.get("state") else ""))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))       # so that temporary folders go
    try:
        main()
    except (UserError, OSError, json.JSONDecodeError) as e:
        print("error: %s" % " ".join(str(e).split()), file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nstopped by the keyboard; what has come is kept, the same command goes on from there", file=sys.stderr)
        sys.exit(130)
