"""YAML as the settings files and prototxts of py-faster-rcnn's forks have it."""
from typing import Any

import yaml


class SettingsLoader(yaml.SafeLoader):
    """yaml.SafeLoader that also reads `!!python/tuple [4, 8]`, as a list.  Other Python tags stay errors."""


def _sequence(loader, node):
    return loader.construct_sequence(node, deep=True)


SettingsLoader.add_constructor("tag:yaml.org,2002:python/tuple", _sequence)


def load_yaml(stream: Any) -> Any:
    """The content of YAML text or of a file opened for reading; yaml.YAMLError as of yaml.safe_load."""
    return yaml.load(stream, SettingsLoader)
