"""Turns what can go wrong while an entry of an export is read into a line of its problems."""
from contextlib import contextmanager

from utils.errors import UserError


@contextmanager
def problem_lines(problems: list[str], where: str):
    """Append a line to `problems` if the block meets an entry that it cannot read, and go on after the block."""
    try:
        yield
    except UserError as e:
        problems.append(str(e))
    except KeyError as e:
        problems.append(f"{where}: has no {e.args[0]!r}; expected the export as the labelling tool wrote it")
    except (TypeError, ValueError, AttributeError, OverflowError, IndexError) as e:
        problems.append(f"{where}: cannot be read ({' '.join(str(e).split())[:120]}); expected the export as the "
                        "labelling tool wrote it")
