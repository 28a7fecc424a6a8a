"""Golden cases of the encoders, the face recognition networks and the attribute classifiers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.classifiers import AttributeClassifier, attribute_classifier_sizes
from models.encoders.e4e import E4eEncoder, e4e_sizes
from models.encoders.psp import GradualStyleEncoder, psp_sizes
from models.identity import IResNetIdentity, IRSEIdentity, iresnet_identity_sizes, irse_identity_sizes
from models.semantic_encoder import SemanticEncoder, semantic_encoder_sizes
from scripts.checks.golden.case import GoldenCase
from utils.weights import freeze

Outputs = dict[str, Tensor]


def _network(case: GoldenCase, network: Callable[..., nn.Module], sizes: Callable[..., dict[str, Any]]) -> Any:
    """The case's network, frozen; made without values first, so that its weights are in memory once."""
    with torch.device("meta"):
        module = network(**sizes(case.shapes))
    module.to_empty(device="cpu")
    case.fill(module)
    return freeze(module)


def _wanted(case: GoldenCase, outputs: dict[str, Callable[[], Tensor]]) -> Outputs:
    """The outputs that the case records."""
    return {name: compute() for name, compute in outputs.items() if name in case.outputs}


def e4e_encoder(case: GoldenCase) -> Outputs:
    """Latent codes at every recorded stage of progressive training, and the trunk's features."""
    encoder = _network(case, E4eEncoder, e4e_sizes)
    features = encoder.features(case.tensor("image"))
    outputs = dict(zip(("c1", "c2", "c3"), features, strict=True))
    for name in case.outputs:
        if name.startswith("w_"):
            encoder.stage = encoder.style_count if name == "w_inference" else int(name.removeprefix("w_stage"))
            outputs[name] = encoder.decode_features(*features)
    return outputs


def psp_encoder(case: GoldenCase) -> Outputs:
    """Latent codes, and the trunk's features where they are recorded."""
    encoder: GradualStyleEncoder = _network(case, GradualStyleEncoder, psp_sizes)
    features = encoder.features(case.tensor("image"))
    return {"codes": encoder.decode_features(*features), **dict(zip(("c1", "c2", "c3"), features, strict=True))}


def arcface_ir_se50(case: GoldenCase) -> Outputs:
    """Embeddings, the crop, and the identity loss of e4e: 1 - cosine between edit and input."""
    network: IRSEIdentity = _network(case, IRSEIdentity, irse_identity_sizes)

    def cosines() -> Tensor:
        features = network.embedding(case.tensor("images"))
        edited, target, source = features[:-2], features[1:-1], features[2:]
        pairs = ((edited, target), (edited, source), (target, source))
        return torch.stack([(first * second).sum(dim=1) for first, second in pairs], dim=1)

    return _wanted(
        case,
        {
            "embedding": lambda: network(case.tensor("faces")),
            "id_features": lambda: network.embedding(case.tensor("images")),
            "id_crop": lambda: network.preprocess(case.tensor("images")),
            "id_loss": lambda: 1 - cosines()[:, 0].mean(),
            "id_cosines": cosines,
        },
    )


def iresnet(case: GoldenCase) -> Outputs:
    """Embeddings, crops at two sizes, and the identity loss of AdaTrans: minus the mean cosine."""
    network: IResNetIdentity = _network(case, IResNetIdentity, iresnet_identity_sizes)

    def crop(name: str) -> Tensor:
        return network.preprocess(case.tensor(name))

    def loss() -> Tensor:
        # the published loss maps its images to [0, 1] first, though the network is used on [-1, 1] everywhere else
        features = network(0.5 * crop("images") + 0.5)
        return -F.cosine_similarity(features[0:2], features[1:3]).mean()

    return _wanted(
        case,
        {
            "embedding": lambda: network(case.tensor("faces")),
            "id_features": lambda: network(crop("images")),
            "id_features_512": lambda: network(crop("image512")),
            "id_crop": lambda: crop("images"),
            "id_crop_512": lambda: crop("image512"),
            "id_loss": loss,
        },
    )


def attribute_classifier(case: GoldenCase) -> Outputs:
    """Logits, decisions and trunk features."""
    classifier: AttributeClassifier = _network(case, AttributeClassifier, attribute_classifier_sizes)
    image = case.tensor("image")
    logits = classifier(image)
    return {"outs": logits, "preds": classifier.decisions(logits), "features": classifier.features(image)}


def semantic_estimator(case: GoldenCase) -> Outputs:
    """Semantic variables and their logits."""
    encoder: SemanticEncoder = _network(case, SemanticEncoder, semantic_encoder_sizes)
    image = case.tensor("image")
    return {"out": encoder(image), "logits": encoder.logits(image)}


CASES: dict[str, Callable[[GoldenCase], Outputs]] = {
    "e4e_encoder": e4e_encoder,
    r"psp_gradual_encoder(_\d+)?": psp_encoder,
    "arcface_ir_se50": arcface_ir_se50,
    "iresnet34": iresnet,
    "iresnet50": iresnet,
    "attribute_classifier_r34": attribute_classifier,
    "attribute_classifier_r50": attribute_classifier,
    "semantic_estimator_r34": semantic_estimator,
}
