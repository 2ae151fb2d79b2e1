"""Flags of annotations (difficult, truncated, iscrowd, ...): one reader for the files of all formats."""
from collections import Counter

FLAG_WORDS = {"1": 1, "true": 1, "yes": 1, "0": 0, "false": 0, "no": 0, "": 0}
EXPECTED = "expected 0 or 1, true or false, yes or no; correct it"


def read_flag(value) -> int | None:
    """0 or 1 for a flag read from a file: a number, a JSON bool, or text in any case.

    A missing flag (None), an empty text and an unknown word are 0; see is_unknown_word.  Any other
    number, nan included, and any other type give None.
    """
    if value is None:
        return 0
    if isinstance(value, str):
        return _flag_of_text(value.strip().lower())
    return int(value) if isinstance(value, int | float) and value in (0, 1) else None


def is_unknown_word(value) -> bool:
    """Whether `value` is text that is neither a number nor a word for yes or no."""
    if not isinstance(value, str):
        return False
    text = value.strip().lower()
    return text not in FLAG_WORDS and _number(text) is None


def flag_problem(where: str, tag: str, value) -> str:
    """The line for a value for which read_flag gives None."""
    return f"{where}: {tag} is {value!r:.40}; {EXPECTED}"


def unknown_words_lines(words: list) -> list[str]:
    """A list with one line that counts unknown words, (tag, text) pairs of flags; [] if there are none."""
    if not words:
        return []
    counts = Counter(words).most_common()
    named = ", ".join(f"{tag} {text!r:.40} ({count})" for (tag, text), count in counts[:5])
    more = f" and {len(counts) - 5} others" if len(counts) > 5 else ""
    return [f"{len(words)} flags of annotations are unknown words and count as 0: {named}{more}; "
            "known are 0, 1, true, false, yes, no"]


def _flag_of_text(text):
    if text in FLAG_WORDS:
        return FLAG_WORDS[text]
    number = _number(text)
    if number is None:
        return 0
    return int(number) if number in (0, 1) else None


def _number(text):
    try:
        return float(text)
    except ValueError:
        return None
