"""Does the attribute vector still tell who it is, and the identity vector what the picture shows?"""

from __future__ import annotations

from models.domain import Domain
from models.editors.base import Editor
from models.evaluation.identities.faces import SwapTestSet
from models.evaluation.identities.readings import Measured, vectors
from models.evaluation.information import PROBES, probe


def leakage(editor: Editor, domain: Domain, test: SwapTestSet, seed: int) -> Measured:
    """Bits (N, T) that probes know of each fact, and whether they are right (N, T), by vector, facts and kind of probe;
    nothing (an empty dict) where there are no further faces to learn from."""
    known = test.probed
    if known is None:
        return {}
    learned, held_out = vectors(editor, domain, known.image), vectors(editor, domain, test.scene)
    facts = {"people": (known.of_people, known.own_people), "scenes": (known.of_scenes, known.own_scenes)}
    measured: Measured = {}
    for place, vector in enumerate(("identity vector", "attribute vector")):
        for name, (train, own) in facts.items():
            for kind in PROBES:
                reading = probe((learned[place], train), (held_out[place], own), kind, seed)
                key = f"probe.{vector}.{name}.{kind}"
                measured |= {f"{key}.bits": reading.bits, f"{key}.right": reading.right}
    return measured
