"""The files of an export folder, and the search for an image by the name that an annotation gives it."""
import os
from urllib.parse import unquote

from utils.errors import UserError

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
SPLITS = {"train": "train", "training": "train", "trainval": "train",
          "val": "val", "valid": "val", "validation": "val", "dev": "val",
          "test": "test", "testing": "test"}


class Tree:
    """All files below `folder`, as paths relative to it with "/", sorted; hidden files and folders are left out."""

    def __init__(self, folder: str):
        self.folder = os.path.abspath(os.path.expanduser(folder))
        if not os.path.isdir(self.folder):
            raise UserError(f"folder {folder} does not exist; name the folder of the export, unpacked")
        self.files = sorted(self._walk())
        self.images = [file for file in self.files if file.lower().endswith(IMAGE_EXTENSIONS)]
        self._image_set = set(self.images)
        self._by_name: dict[str, list[str]] = {}
        for image in self.images:
            self._by_name.setdefault(os.path.basename(image), []).append(image)

    def path(self, file: str) -> str:
        """The absolute path of a file."""
        return os.path.join(self.folder, file)

    def with_extension(self, *extensions: str) -> list[str]:
        return [file for file in self.files if file.lower().endswith(extensions)]

    def find_image(self, name: str, near: str) -> str:
        """The image that an annotation file `near` calls `name`.

        It is looked for next to that file, in its folder `images`, and then by its base name in the whole folder.
        Raises UserError if no image or more than one has that name.
        """
        name = unquote(name) if "%" in name else name
        name = name.replace("\\", "/")
        folder = os.path.dirname(near)
        for candidate in (os.path.join(folder, name), os.path.join(folder, "images", name),
                          os.path.join(os.path.dirname(folder), name), name):
            candidate = os.path.normpath(candidate)
            if candidate in self._image_set:
                return candidate
        return self._find_by_base_name(name, near)

    def image_of_stem(self, stem: str) -> str | None:
        """The image whose path without its extension is `stem`."""
        found = [stem + extension for ext in IMAGE_EXTENSIONS for extension in (ext, ext.upper())]
        return next((file for file in found if file in self._image_set), None)

    def _find_by_base_name(self, name, near):
        found = self._by_name.get(os.path.basename(name), [])
        if len(found) == 1:
            return found[0]
        if not found:
            raise UserError(f"{near}: image {name!r} is not in the folder; add it, or remove it from the annotations")
        raise UserError(f"{near}: image {name!r} is in the folder {len(found)} times ({', '.join(found[:3])}); give "
                        "the images different names")

    def _walk(self):
        for parent, folders, files in os.walk(self.folder, followlinks=True):
            folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
            for name in files:
                if not name.startswith("."):
                    yield os.path.relpath(os.path.join(parent, name), self.folder).replace(os.sep, "/")


def split_of_image(path: str) -> str:
    """The split that a path names in a folder ("valid/images/a.jpg"); "" for none.

    A word of an image's own name is none: a photograph may be called test_1.jpg.
    """
    folders = path.lower().split("/")[:-1]
    return next((SPLITS[folder] for folder in folders if folder in SPLITS), "")


def split_of(file: str) -> str:
    """The split that the path of an annotation file names, in a folder or in a word of its name ("instances_val.json").

    "" for none.
    """
    of_folder = split_of_image(file)
    if of_folder:
        return of_folder
    name = os.path.basename(file).lower()
    words = os.path.splitext(name)[0].replace("-", "_").replace(".", "_").split("_")
    found = {SPLITS[word.rstrip("0123456789")] for word in words if word.rstrip("0123456789") in SPLITS}
    return found.pop() if len(found) == 1 else ""
