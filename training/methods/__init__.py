"""Methods that a config may name."""

from utils.config import Catalogue

METHODS = Catalogue(
    "method",
    {
        "sdflow": "training.methods.sdflow:SDFlowMethod",
        "latent_transformer": "training.methods.latent_transformer:LatentTransformerMethod",
        "latent_classifier": "training.methods.latent_classifier:LatentClassifierMethod",
        "adatrans": "training.methods.adatrans:AdaTransMethod",
        "realnvp": "training.methods.realnvp:RealNVPMethod",
        "linear": "training.methods.linear:LinearDirectionsMethod",
        "interfacegan": "training.methods.interfacegan:InterFaceGANMethod",
        "classifier": "training.methods.classifier:ClassifierMethod",
        "identity": "training.methods.identity:IdentityMethod",
        "stylegan2": "training.methods.stylegan2:StyleGAN2Method",
        "e4e": "training.methods.e4e:E4eMethod",
    },
)
