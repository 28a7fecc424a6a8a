"""From the text of a command line to edits."""

from __future__ import annotations

import pytest

from models.editing.requests import Request, RequestError, parse_requests
from models.editors.base import Flip, SetTo

NAMES = ("Eyeglasses", "Male", "Young", "Smiling", "Wavy_Hair")


def test_assignments_and_flips_are_one_edit() -> None:
    (request,) = parse_requests(NAMES, ["Smiling=1", "eyeglasses=-0.2"], ["Male"], strength=0.5)
    assert request.targets == {"Smiling": SetTo(1.0), "Eyeglasses": SetTo(-0.2), "Male": Flip(0.5)}
    assert request.label == "Smiling=1,Eyeglasses=-0.2,Male=flip0.5"


def test_a_sweep_is_one_edit_a_value() -> None:
    requests = parse_requests(NAMES, ["Smiling=1"], sweeps=["Young=-0.2:1.2:8"])
    assert [r.targets["Young"] for r in requests] == [SetTo(v) for v in (-0.2, 0, 0.2, 0.4, 0.6, 0.8, 1, 1.2)]
    assert all(r.targets["Smiling"] == SetTo(1.0) for r in requests)
    assert len(parse_requests(NAMES, sweeps=["Young=0:1:3", "Male=0:1:4"])) == 7


def test_each_attribute_is_flipped_when_nothing_is_asked() -> None:
    requests = parse_requests(NAMES, strength=0.0)
    assert [r.targets for r in requests] == [{name: Flip(0.0)} for name in NAMES]
    assert [r.label for r in parse_requests(NAMES, ["Male=1"], each=True)] == [
        f"Male=1,{name}=flip0.2" for name in NAMES if name != "Male"
    ]


def test_labels_are_short_and_different() -> None:
    many = [f"Attribute_{number}" for number in range(40)]
    one = Request.of({name: SetTo(0.125) for name in many})
    other = Request.of({name: SetTo(0.125 if name != many[-1] else 0.25) for name in many})
    assert len(one.label) <= 100 and one.label != other.label


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"assignments": ["Smilin=1"]}, "unknown attribute 'Smilin'; did you mean 'Smiling'"),
        ({"flips": ["Beard"]}, "unknown attribute 'Beard'; valid: Eyeglasses, Male"),
        ({"sweeps": ["Yung=0:1:3"]}, "did you mean 'Young'"),
        ({"assignments": ["Smiling=yes"]}, "'yes' is no number"),
        ({"assignments": ["Smiling=nan"]}, "'nan' is no number"),
        ({"assignments": ["Smiling="]}, "is no number"),
        ({"assignments": ["Smiling"]}, "attribute=value"),
        ({"assignments": ["Smiling=1", "Smiling=0"]}, "named twice"),
        ({"assignments": ["Smiling=1"], "flips": ["Smiling"]}, "named twice"),
        ({"assignments": ["Young=1"], "sweeps": ["Young=0:1:3"]}, "swept and set"),
        ({"sweeps": ["Young=0:1"]}, "attribute=first:last:count"),
        ({"sweeps": ["Young=0:one:3"]}, "'one' is no number"),
        ({"sweeps": ["Young=0:1:1"]}, "from 2 to"),
        ({"sweeps": ["Young=0:1:2.5"]}, "whole number"),
        ({"strength": float("inf")}, "no finite number"),
    ],
)
def test_wishes_that_cannot_be_understood(asked: dict, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        parse_requests(NAMES, **asked)
