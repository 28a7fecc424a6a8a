"""Names of attributes as people type them. Nothing here imports PyTorch."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

# Words of the field and of everyday speech → CelebA's attribute.
_WORDS = {
    "Young": ("youth", "youthful", "youthfulness"),
    "Male": ("gender", "sex", "man", "men", "boy", "masculine", "masculinity"),
    "Eyeglasses": ("glasses", "spectacles", "eyewear", "sunglasses", "specs"),
    "Smiling": ("smile", "happy", "happiness", "laugh", "laughing", "grin", "expression", "emotion", "joy"),
    "Wavy_Hair": ("wavy", "waves", "curly", "curls"),
    "Straight_Hair": ("straight",),
    "Blond_Hair": ("blond", "blonde"),
    "Gray_Hair": ("grey", "greyhair"),
    "Bangs": ("fringe",),
    "Heavy_Makeup": ("makeup", "cosmetics"),
    "Wearing_Earrings": ("earrings",),
    "Wearing_Hat": ("hat", "cap"),
    "Wearing_Lipstick": ("lipstick",),
    "Wearing_Necklace": ("necklace",),
    "Wearing_Necktie": ("necktie", "tie"),
    "Mustache": ("moustache",),
    "Pale_Skin": ("pale", "skintone", "complexion"),
    "Mouth_Slightly_Open": ("mouth", "openmouth"),
    "Receding_Hairline": ("hairline",),
    "Chubby": ("weight", "fat", "fatness"),
}
# The same where the attribute is the opposite of the word, with what its 0 then means.
_OPPOSITES = {
    "Young": ("old", ("age", "old", "older", "aged", "elderly", "aging", "ageing")),
    "Male": ("female", ("female", "femininity", "feminine", "woman", "women", "girl")),
    "No_Beard": ("a beard", ("beard", "bearded", "facialhair")),
    "Smiling": ("no smile", ("sad", "sadness", "serious", "neutral")),
}
_NO = ("no", "not", "without")
_NEAR = 0.8  # similarity of a slip of the pen; at 0.57 'age' is near 'Male'
_LONGEST = 60  # characters of a name that a message repeats


def known_attribute(name: str, attributes: Sequence[str]) -> str | None:
    """The attribute of this name; upper and lower case, spaces, hyphens and underscores are all the same."""
    if name in attributes:
        return name
    return next((attribute for attribute in attributes if _plain(attribute) == _plain(name) != ""), None)


def unknown_attribute(name: str, attributes: Sequence[str]) -> str:
    """What to say of a name that is none: the attribute that it may stand for, and all there are."""
    shown = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
    return f"unknown attribute '{shown}'{_meant(name, attributes)}; valid: {', '.join(attributes)}"


def _meant(name: str, attributes: Sequence[str]) -> str:
    """A `; did you mean …` clause; empty where no attribute is meant for sure."""
    word = _plain(name)
    meanings: dict[str, list[str]] = {}
    negations: dict[str, list[str]] = {}  # none for parts of names: who has no hair has none that is not wavy
    for attribute in attributes:
        opposite, antonyms = _OPPOSITES.get(attribute, ("", ()))
        for synonym in (_plain(attribute), *_WORDS.get(attribute, ())):
            meanings.setdefault(synonym, []).append(f"'{attribute}'")
            for no in _NO:
                negations.setdefault(no + synonym, []).append(_reversed(attribute, f"{no} {synonym}"))
        for antonym in antonyms:
            meanings.setdefault(antonym, []).append(_reversed(attribute, opposite))
            for no in _NO:
                negations.setdefault(no + antonym, []).append(f"'{attribute}'")
    for attribute in attributes:
        for part in attribute.split("_"):  # hair → Wavy_Hair
            if not attribute.startswith("No_") and len(part) > 2:
                meanings.setdefault(part.lower(), []).append(f"'{attribute}'")
    exact = meanings.get(word) or negations.get(word)
    others = [known for known in meanings if word not in {no + known for no in _NO}]
    near = [] if exact else difflib.get_close_matches(word, others, 1, cutoff=_NEAR)
    meant = exact or [meaning for known in near for meaning in meanings[known]]
    return f"; did you mean {' or '.join(dict.fromkeys(meant))}?" if meant else ""


def _reversed(attribute: str, opposite: str) -> str:
    return f"'{attribute}', which runs the other way ({attribute}=0 is {opposite})"


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()
