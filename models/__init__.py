"""Networks that a config may name."""

from utils.catalogues import Catalogue

NETWORKS = Catalogue(
    "network",
    {
        "stylegan2_generator": "models.stylegan2.generator:Generator",
        "stylegan2_discriminator": "models.stylegan2.discriminator:Discriminator",
        "e4e_encoder": "models.encoders.e4e:E4eEncoder",
        "psp_encoder": "models.encoders.psp:GradualStyleEncoder",
        "swap_encoder": "models.encoders.swap_encoder:SwapEncoder",
        "latent_mapper": "models.latent_mapper:LatentMapper",
        "dex": "models.dex:DEX",
        "mobilefacenet": "models.landmarks:MobileFaceNet",
        "latent_discriminator": "models.encoders.latent_discriminator:LatentDiscriminator",
        "attribute_classifier": "models.classifiers:AttributeClassifier",
        "semantic_encoder": "models.semantic_encoder:SemanticEncoder",
        "ir_se_identity": "models.identity:IRSEIdentity",
        "iresnet_identity": "models.identity:IResNetIdentity",
        "reader": "models.reader:Reader",
        "deeplab_v3": "models.parsing.segmentor:DeepLabV3",
        "mask_encoder": "models.parsing.mask_encoder:MaskEncoder",
        "face_parser": "models.parsing.face_parser:FaceParser",
        "continuous_flow": "models.flows.cnf:ContinuousFlow",
        "realnvp": "models.flows.realnvp:RealNVP",
        "latent_transformer": "models.latent_transformer:LatentTransformer",
        "latent_classifier": "models.latent_transformer:LatentClassifier",
        "adatrans": "models.adatrans:AdaTrans",
        "bent_latent_space": "models.latent_space:BentLatentSpace",
    },
)
