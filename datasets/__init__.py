"""Data sets that a config may name."""

from utils.catalogues import Catalogue

DATASETS = Catalogue(
    "data set",
    {
        "avatar_faces": "datasets.avatars:AvatarFaces",
        "avatar_identities": "datasets.avatars:AvatarIdentities",
        "celeba": "datasets.celeba:CelebA",
        "encoded_faces": "datasets.encoded_faces:EncodedFaces",
        "ffhq": "datasets.ffhq:FFHQ",
        "image_folder": "datasets.image_folder:ImageFolder",
        "labelled_folder": "datasets.labelled_folder:LabelledFolder",
        "latent_cache": "datasets.latent_cache:LatentCache",
        "mask_targets": "datasets.mask_targets:MaskTargets",
    },
)
