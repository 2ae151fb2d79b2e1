"""Python: a layer written by the user as a class in a module on PYTHONPATH."""
import importlib
import sys

from .. import common
from ..layer import Layer, register


@register("Python")
class PythonLayer:
    """Makes the object of the user's class, a subclass of caffe.Layer.

    layer { name: "data" type: "Python" top: "data"
            python_param { module: "roi_data_layer.layer" layer: "RoIDataLayer" param_str: "'num_classes': 21" } }

    The object finds its settings in `param_str` (and in `param_str_`, the name of older pycaffe), its phase in `phase`.
    """

    def __new__(cls, layer_param):
        param = layer_param.python_param
        if not (param.module and param.layer):
            raise common.CaffeError("layer %s (Python): python_param.module is %r and layer %r; expected the names of "
                                    "a module on PYTHONPATH and of a class in it"
                                    % (layer_param.name, param.module, param.layer))
        layer_class = _find_class(layer_param.name, param.module, param.layer)
        layer = layer_class(layer_param)
        layer.type, layer.bottoms, layer.tops = "Python", (0, None), (0, None)
        layer.param_str = layer.param_str_ = param.param_str
        return layer


def _find_class(name, module_name, class_name):
    """The class `class_name` of module `module_name`; CaffeError in the words of the prototxt when it is not there."""
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise common.CaffeError("layer %s (Python): python_param.module %r is no name of a module such as package.mine"
                                % (name, module_name))
    sys.path.insert(0, "")      # a module beside the prototxt one works in, as with Caffe
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as e:
        if e.name and not module_name.startswith(e.name):
            raise
        raise common.CaffeError("layer %s (Python): no module %r on PYTHONPATH; python_param.module names a module "
                                "whose folder is on it" % (name, module_name)) from None
    finally:
        sys.path.remove("")
    layer_class = getattr(module, class_name, None)
    if layer_class is None:
        raise common.CaffeError("layer %s (Python): module %s has no class %r" % (name, module_name, class_name))
    if not (isinstance(layer_class, type) and issubclass(layer_class, Layer) and layer_class is not Layer):
        raise common.CaffeError("layer %s (Python): %s.%s is no subclass of caffe.Layer (nor may it be caffe.Layer)"
                                % (name, module_name, class_name))
    return layer_class
