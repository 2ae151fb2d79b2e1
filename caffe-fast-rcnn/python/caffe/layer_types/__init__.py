"""The built-in layers: importing a family's module registers its types."""
from importlib import import_module
from pkgutil import iter_modules

for _module in sorted(m.name for m in iter_modules(__path__)):
    import_module("." + _module, __name__)
