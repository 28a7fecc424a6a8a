"""Editors: from a latent code and wanted attribute values to an edited code. Files name the kind as `method`."""

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
