"""Text of lists and annotation files, in the encodings that users' programs write."""
import codecs
import json
import re
import unicodedata

from utils.errors import UserError

# The longer mark first: the one of utf-32-le begins with that of utf-16-le.
BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"),
                    (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
                    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
FIRST_BYTES_OF_XML = ((b"<\0\0\0", "utf-32-le"), (b"\0\0\0<", "utf-32-be"),
                      (b"<\0", "utf-16-le"), (b"\0<", "utf-16-be"))
DECLARED = re.compile(rb"""^\s*<\?xml[^>]*?\bencoding\s*=\s*["']([^"'>]*)["']""")
XML_REMEDY = "declare its actual encoding, or save it as UTF-8"


def read_lines(path: str) -> list[str]:
    """The lines of a list, stripped, without the empty ones.

    UTF-8, or UTF-16 and UTF-32 with a byte order mark; marks inside, of files that were joined, are
    left out.
    """
    encoding, data = _without_mark(_read(path))
    encoding = encoding or "utf-8"
    try:
        text = data.decode(encoding).replace("\ufeff", "")
    except UnicodeDecodeError as e:
        raise UserError(f"{path} is not {encoding.upper()} ({e}); save it as UTF-8") from None
    lines = re.split(r"\r\n|\r|\n", text)
    for number, line in enumerate(lines, start=1):
        if "\0" in line:
            raise UserError(f"{path}, line {number}: has a NUL byte, expected text; save it as UTF-8")
    return [line.strip() for line in lines if line.strip()]


def read_xml(path: str) -> str:
    """The text of an annotation file, decoded by its byte order mark, its first bytes, or its declaration."""
    try:
        encoding, data = _without_mark(_read(path))
    except FileNotFoundError:
        raise UserError(f"annotation {path} does not exist; add it or take its image out of the image "
                        "set") from None
    declared = DECLARED.match(data)
    if encoding is None and declared:
        return _decode_as_declared(path, data, declared.group(1).decode("latin-1").strip())
    return _decode(path, data, encoding or _encoding_of_first_bytes(data) or "utf-8")


def _decode_as_declared(path, data, encoding):
    """The text of XML whose declaration can be read before it is decoded."""
    text = _decode(path, data, encoding)
    if not text.lstrip().startswith("<?xml"):
        raise UserError(f"annotation {path} declares the encoding '{encoding}', but uses another; "
                        f"{XML_REMEDY}")
    return text


def _decode(path, data, encoding):
    try:
        return data.decode(encoding)
    except LookupError:
        raise UserError(f"annotation {path} declares the encoding '{encoding}', which is unknown; "
                        f"{XML_REMEDY}") from None
    except ValueError as e:
        raise UserError(f"annotation {path} is not {encoding} ({e}); {XML_REMEDY}") from None


def load_json(path: str):
    """The content of a JSON file in UTF-8, 16 or 32, with or without a byte order mark; ValueError if it is none."""
    with open(path, "rb") as f:
        encoding = json.detect_encoding(f.read(4))
    with open(path, encoding=encoding) as f:
        try:
            return json.load(f)
        except RecursionError:
            raise ValueError("lists or objects are nested too deep") from None


def is_printed_text(text) -> bool:
    """Whether `text` is a str that is valid in a file name and on one line: not blank, without control
    characters (NUL included) and without lone surrogates."""
    return isinstance(text, str) and bool(text.strip()) and not any(
        unicodedata.category(character) in ("Cc", "Cs") for character in text)


def _read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError:
        raise
    except OSError as e:
        raise UserError(f"{path} cannot be read ({e.strerror}); expected a text file") from None


def _without_mark(data):
    """(the encoding of the byte order mark or None, the bytes after the mark)."""
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return encoding, data[len(mark):]
    return None, data


def _encoding_of_first_bytes(data):
    """The encoding of XML with several bytes per character and no byte order mark; otherwise None."""
    return next((name for first, name in FIRST_BYTES_OF_XML if data.startswith(first)), None)
