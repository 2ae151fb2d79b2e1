"""Checks the ids and names of a COCO JSON before any work starts."""
from collections import Counter

from datasets.text_files import is_printed_text

NO_PARENT = ("", "none", "null")        # what exports write as the supercategory of a root


def is_id(value) -> bool:
    """Whether `value` can be an id: a whole number, or text."""
    if isinstance(value, float):
        return value.is_integer()
    return is_printed_text(value) if isinstance(value, str) else type(value) is int


def item_problems(path: str, what: str, items: list, name_key: str) -> list[str]:
    """A line for each item of the list `what` whose id or name is missing or invalid."""
    problems = []
    for k, item in enumerate(items):
        where = f"annotation file {path}: item {k} of '{what}'"
        missing = [key for key in ("id", name_key) if key not in item]
        if missing:
            problems.append(f"{where} has no '{missing[0]}'")
            continue
        if not is_id(item["id"]):
            problems.append(f"{where}: id is {item['id']!r:.40}; expected a whole number or text; give it "
                            "an id of its own")
        if not _is_name(item[name_key], what):
            problems.append(f"{where}: {name_key} is {item[name_key]!r:.40}; expected a text "
                            "that is a valid file name; correct it")
    return problems


def kind_problems(paths: list[str], what: str, items: list) -> list[str]:
    """A line if ids of `items` are repeated, and a line if some are numbers and some are text."""
    source, ids = " + ".join(paths), [item["id"] for item in items]
    twice = [id_ for id_, count in Counter(ids).items() if count > 1]
    problems = [f"annotation file {source}: two of its {what} have the id {id_}; give each a unique id"
                for id_ in twice]
    text = [id_ for id_ in ids if isinstance(id_, str)]
    if text and len(text) < len(ids):
        number = next(id_ for id_ in ids if not isinstance(id_, str))
        problems.append(f"annotation file {source}: ids of its {what} are numbers, such as {number!r}, and text, such "
                        f"as {text[0]!r}; expected one kind; write all of them as numbers")
    return problems


def split_classes(categories: list, used: set) -> tuple[list, list[str]]:
    """(the categories that are classes, a line for each that is left out).

    A root of the category tree is left out if no annotation uses it (used: the ids in annotations)
    and it has the name of a class, as in Roboflow's exports.  So is an unused background category.
    """
    unused = [category for category in categories if category["id"] not in used]
    background = [category for category in unused if category["name"].lower() == "__background__"]
    roots = [category for category in unused if _is_root(category, categories)]
    taken = {category["name"].lower() for category in categories if category not in roots}
    left_out = background + [category for category in roots if category["name"].lower() in taken]
    remarks = [f"category {category['id']} '{category['name']}' is left out: no annotation uses it, and it has the "
               f"name of {'the background' if category in background else 'a class'}" for category in left_out]
    return [category for category in categories if category not in left_out], remarks


def _is_name(value, what):
    is_number = what == "categories" and type(value) in (int, float)        # which some tools write
    return is_number or is_printed_text(value)


def _is_root(category, categories):
    """Whether a category has no supercategory, or is the supercategory of another category."""
    if "supercategory" in category and _parent(category) in NO_PARENT:
        return True
    return any(_parent(other) == category["name"].lower() for other in categories if other is not category)


def _parent(category):
    return str(category.get("supercategory") or "").strip().lower()
