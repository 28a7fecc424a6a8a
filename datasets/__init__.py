"""Data sets that a config may name."""

from utils.config import Catalogue

DATASETS = Catalogue(
    "data set",
    {
        "avatar_faces": "datasets.avatars:AvatarFaces",
        "avatar_identities": "datasets.avatars:AvatarIdentities",
        "image_folder": "datasets.image_folder:ImageFolder",
        "latent_cache": "datasets.latent_cache:LatentCache",
    },
)
