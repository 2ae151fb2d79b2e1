"""Imports a fork's modules, which register its data sets and add its settings, before the tools look for them."""
import importlib
import os
import sys

from utils.errors import UserError

VARIABLE = "OHEM_IMPORT"        # names of modules, with commas between them


def import_modules(names: str, given_by: str) -> list[str]:
    """Import the modules `a,b`, of PYTHONPATH or the working directory; processes started later import them as well.

    given_by: the flag or variable with the names, for the error.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    modules = [name for name in names.split(",") if name]
    for name in modules:
        _import(name, given_by)
    known = [name for name in os.environ.get(VARIABLE, "").split(",") if name]
    if modules:
        os.environ[VARIABLE] = ",".join(dict.fromkeys(known + modules))
    return modules


def _import(name, given_by):
    if name.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
        raise UserError(f"{given_by}: {name!r} is not the name of a module; write package.module, without .py")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as e:
        if e.name is None or not f"{name}.".startswith(f"{e.name}."):
            raise           # what the module itself imports
        raise UserError(f"{given_by}: there is no module {e.name}; put the folder that holds it on PYTHONPATH, or "
                        "start in that folder") from None
