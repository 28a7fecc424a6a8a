"""Editors: they move a latent code from one condition of its face to another. Files name the editor as `method`."""

from utils.config import Catalogue

EDITORS = Catalogue(
    "editor",
    {
        "sdflow": "models.editors.sdflow:SDFlowEditor",
        "styleflow": "models.editors.styleflow:StyleFlowEditor",
        "latent_transformer": "models.editors.latent_transformer:LatentTransformerEditor",
        "interfacegan": "models.editors.interfacegan:InterFaceGANEditor",
        "adatrans": "models.editors.adatrans:AdaTransEditor",
        "linear": "models.editors.linear:LinearDirectionsEditor",
    },
)
