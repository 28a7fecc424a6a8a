"""What is read off pictures that should show one person in the scene of another."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from models.domain import Domain
from models.editors.base import Editor
from models.evaluation.counterfactual import root_mean_square
from models.evaluation.faces import decisions_of, in_batches
from models.evaluation.identities.faces import SwapTestSet
from utils.statistics import frechet_distance, total_variance

Measured = dict[str, np.ndarray]  # names → numbers, face by face
TRUE, INVERTED = "true hybrid, drawn", "true hybrid, inverted"
PERSON, SCENE, NEAREST = "A, inverted", "B, inverted", "nearest other face"
_PORTION = 64  # truths that are compared with all other faces at once


def embeddings(domain: Domain, image: Tensor) -> Tensor:
    """Identity embeddings (N, E), on the CPU."""
    return in_batches(domain.identity_embedding, image, device=domain.device)


def vectors(editor: Editor, domain: Domain, image: Tensor) -> tuple[Tensor, Tensor]:
    """Identity and attribute vectors of pictures (N, 3, S, S)."""
    none = torch.zeros(len(image), domain.styles, domain.style_dim)
    identity = in_batches(editor.read, none, image, device=domain.device)
    return identity, in_batches(editor.prepare, none, identity, image, device=domain.device)


def joined(editor: Editor, domain: Domain, identity: Tensor, attribute: Tensor) -> Tensor:
    """Pictures (N, 3, S, S) of identity and attribute vectors."""

    def picture(one: Tensor, rest: Tensor) -> Tensor:
        return domain.synthesise(editor.move(rest, one, one))

    return in_batches(picture, identity, attribute, device=domain.device)


def inverted(domain: Domain, image: Tensor) -> Tensor:
    """Pictures (N, 3, S, S) through encoder and generator."""
    return in_batches(lambda some: domain.synthesise(domain.encode(some)), image, device=domain.device)


def read_pictures(domain: Domain, test: SwapTestSet, image: Tensor, people: Tensor, decided: Tensor) -> Measured:
    """Of pictures (N, 3, S, S) that should show the other person in each scene.

    Args:
        people: embeddings (N, E) of the scenes.
        decided: the judge's decisions (N, A) on them.
    Returns:
        to_person, to_scene, to_stranger (N,): cosines to A, to B and to somebody else; rank (N,): how many of all
        people are nearer than A; agrees (N, A): whether the judge decides as on B; error (N, F): of the numbers read,
        to the scene's; distance (N,) to the truth.
    """
    cosines = embeddings(domain, image) @ people.T
    rows, others = torch.arange(len(test)), torch.as_tensor(test.others)
    wanted = cosines[rows, others]
    measured = {
        "to_person": wanted.numpy(),
        "to_scene": cosines[rows, rows].numpy(),
        "to_stranger": cosines[rows, others.roll(1)].numpy(),
        "rank": (cosines > wanted[:, None]).sum(1).numpy(),
        "agrees": (decisions_of(domain, image) == decided).numpy(),
    }
    if test.reader is not None and test.asked is not None:
        read = in_batches(test.reader.read, image, device=domain.device).numpy()
        measured["error"] = np.abs(read - test.asked)
    if test.truth is not None:
        measured["distance"] = root_mean_square(image, test.truth).numpy()
    return measured


def references(domain: Domain, test: SwapTestSet, step: Callable[[], object]) -> dict[str, Measured]:
    """The same of what an editor is held against: the truth, both faces, and their codes mixed at every layer."""
    people, decided = embeddings(domain, test.scene), decisions_of(domain, test.scene)
    pictures: dict[str, Callable[[], Tensor]] = {}
    if test.truth is not None:
        pictures[TRUE] = partial(torch.clone, test.truth)
    if domain.has("encoder"):
        latent = in_batches(domain.encode, test.scene, device=domain.device)
        person = latent[test.others]

        def synthesised(code: Tensor) -> Tensor:
            return in_batches(domain.synthesise, code, device=domain.device)

        if test.truth is not None:
            pictures[INVERTED] = partial(inverted, domain, test.truth)
        pictures |= {PERSON: partial(synthesised, person), SCENE: partial(synthesised, latent)}
        for styles in range(1, domain.styles):
            mixed = torch.cat([latent[:, :styles], person[:, styles:]], dim=1)
            pictures[f"styles mixed, B's first {styles}"] = partial(synthesised, mixed)
    if test.truth is not None and test.probed is not None:
        pictures[NEAREST] = partial(_nearest, test.truth, test.probed.image)
    found = {}
    for name, picture in pictures.items():
        found[name] = read_pictures(domain, test, picture(), people, decided)
        step()
    return found


def _nearest(truth: Tensor, others: Tensor) -> Tensor:
    """Of so many other faces that which is nearest to each truth, pixel by pixel: what it would take to look one up."""
    flat = others.flatten(1)
    places = torch.cat([torch.cdist(some.flatten(1), flat).argmin(1) for some in truth.split(_PORTION)])
    return others[places]


def of_editor(editor: Editor, domain: Domain, test: SwapTestSet, step: Callable[[], object]) -> Measured:
    """What is measured of one editor.

    Returns:
        what `read_pictures` gives; rebuilt.identity and rebuilt.distance (N,), of faces with their own identity;
        varied (N,), cosine between two people's hybrids in one scene; same.person (N,), cosine between the identity
        vectors of two pictures of a person, where there are two; two.people (N,), of two people; frechet (), of the
        hybrids to other faces in the judge's features, as a share of their variance.
    """
    identity, attribute = vectors(editor, domain, test.scene)
    step()
    people, decided = embeddings(domain, test.scene), decisions_of(domain, test.scene)
    hybrid = joined(editor, domain, identity[test.others], attribute)
    measured = read_pictures(domain, test, hybrid, people, decided)
    step()
    rebuilt = joined(editor, domain, identity, attribute)
    measured["rebuilt.identity"] = (embeddings(domain, rebuilt) * people).sum(1).numpy()
    measured["rebuilt.distance"] = root_mean_square(rebuilt, test.scene).numpy()
    step()
    further = joined(editor, domain, identity[np.roll(test.others, 1)], attribute)
    measured["varied"] = (embeddings(domain, hybrid) * embeddings(domain, further)).sum(1).numpy()
    measured["two.people"] = (identity * identity[test.others]).sum(1).numpy()
    if test.again is not None:
        measured["same.person"] = (identity * vectors(editor, domain, test.again)[0]).sum(1).numpy()
    if test.probed is not None:
        features = [
            in_batches(domain.judge.features, some, device=domain.device).numpy()
            for some in (hybrid, test.probed.image)
        ]
        measured["frechet"] = np.asarray(frechet_distance(*features) / total_variance(features[1]))
    step()
    return measured
