"""What to do where the caffemodel that a training starts from is not there."""
import os

OF_A_NET = {
    "SqueezeNet.caffemodel": "fetch it: data/scripts/fetch_imagenet_models.sh squeezenet (4.8 MB; --mirror URL and "
                             "--from-file FILE where the host is gone), then convert it: python "
                             "tools/convert_squeezenet.py; or link such a file: ln -s /path/to/SqueezeNet.caffemodel "
                             "data/imagenet_models/",
    "VGG16.v2.caffemodel": "fetch it: data/scripts/fetch_imagenet_models.sh; or make it of torchvision's: "
                           "data/scripts/fetch_imagenet_models.sh torchvision, then python "
                           "tools/convert_torchvision_vgg16.py; or link such a file into data/imagenet_models/",
}
OF_ANY = ("fetch ImageNet models by data/scripts/fetch_imagenet_models.sh, or link the file: ln -s /path/to/{} "
          "data/imagenet_models/")


def weights_remedy(path: str) -> str:
    """The end of the error line about a missing file of weights."""
    name = os.path.basename(path)
    return (f"{OF_A_NET.get(name, OF_ANY.format(name))} (see data/README.md); without --weights (WEIGHTS=none for the "
            "scripts) the net starts from its fillers")
