"""From the text of a command line to edits."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from models.editing import requests
from models.editing.requests.attributes import AttributeRequest, attribute_requests
from models.editing.requests.base import RequestError
from models.editors.linear import LinearDirectionsEditor
from models.editors.targets import Flip, SetTo, resolve_targets
from utils.paths import ROOT

NAMES = ("Eyeglasses", "Male", "Young", "Smiling", "Wavy_Hair")


def test_assignments_and_flips_are_one_edit() -> None:
    (request,) = attribute_requests(NAMES, ["Smiling=1", "eyeglasses=-0.2"], ["Male"], strength=0.5)
    assert request.targets == {"Smiling": SetTo(1.0), "Eyeglasses": SetTo(-0.2), "Male": Flip(0.5)}
    assert request.label == "Smiling=1,Eyeglasses=-0.2,Male=flip0.5"


def test_a_sweep_is_one_edit_a_value() -> None:
    requests = attribute_requests(NAMES, ["Smiling=1"], sweeps=["Young=-0.2:1.2:8"])
    assert [r.targets["Young"] for r in requests] == [SetTo(v) for v in (-0.2, 0, 0.2, 0.4, 0.6, 0.8, 1, 1.2)]
    assert all(r.targets["Smiling"] == SetTo(1.0) for r in requests)
    assert len(attribute_requests(NAMES, sweeps=["Young=0:1:3", "Male=0:1:4"])) == 7


def asked(*arguments: str) -> list:
    """Requests of a command line, for an editor of attributes."""
    parser = argparse.ArgumentParser()
    requests.add_request_options(parser)
    editor = LinearDirectionsEditor(torch.zeros(5, 1, 1), torch.zeros(2, 5), NAMES)
    return requests.parse_requests(parser.parse_args(arguments), SimpleNamespace(editor=editor))  # type: ignore[arg-type]


def test_each_attribute_is_flipped_when_nothing_is_asked() -> None:
    assert attribute_requests(NAMES, strength=0.0) == []
    assert [r.targets for r in asked("--strength", "0")] == [{name: Flip(0.0)} for name in NAMES]
    assert [r.label for r in asked("--set", "Male=1", "--each")] == [
        f"Male=1,{name}=flip0.2" for name in NAMES if name != "Male"
    ]
    assert [r.label for r in attribute_requests(NAMES, ["Male=1"], each=True)] == [
        f"Male=1,{name}=flip0.2" for name in NAMES if name != "Male"
    ]


def test_the_same_edit_is_made_once() -> None:
    sweeps = ("--sweep", "Young=0:1:2", "--sweep", "Young=1:2:2")
    assert [r.label for r in asked(*sweeps)] == ["Young=0", "Young=1", "Young=2"]


def test_options_are_read_without_pytorch() -> None:
    code = "import sys, models.editing.requests as r; r.kinds(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_module_in_the_folder_is_a_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "another.py").write_text(
        "from models.editing.requests.kind import RequestKind\n"
        "class Another(RequestKind):\n"
        "    name, title = 'another', 'other requests'\n"
        "    def add_options(self, parser): parser.add_argument('--another')\n"
        "    def parse(self, options, pipeline): return []\n"
        "KIND = Another()\n"
    )
    monkeypatch.setattr(requests, "__path__", [*requests.__path__, str(tmp_path)])
    requests.kinds.cache_clear()
    try:
        assert list(requests.kinds()) == ["attributes", "identity", "mask", "style", "another"]
        with pytest.raises(RequestError, match="this editor .linear directions. takes no other requests; it takes"):
            asked("--another", "1")
    finally:
        requests.kinds.cache_clear()
        sys.modules.pop("models.editing.requests.another")


def test_labels_are_short_and_different() -> None:
    many = [f"Attribute_{number}" for number in range(40)]
    one = AttributeRequest.of({name: SetTo(0.125) for name in many})
    other = AttributeRequest.of({name: SetTo(0.125 if name != many[-1] else 0.25) for name in many})
    assert len(one.label) <= 100 and one.label != other.label


@pytest.mark.parametrize("word", ["age", "gender", "glasses", "smile", "beard", "hat", "eyes", "pose", "mail", "x"])
def test_every_refusal_lists_the_attributes_and_suggests_no_other(word: str) -> None:
    """Before, 'age' was answered with 'did you mean 'Male'?'."""
    meant = {"age": "Young", "gender": "Male", "glasses": "Eyeglasses", "smile": "Smiling"}
    with pytest.raises(RequestError) as caught:
        attribute_requests(NAMES, flips=[word])
    said, _, listed = str(caught.value).partition("; valid: ")
    assert listed == ", ".join(NAMES)
    assert [name for name in NAMES if f"'{name}'" in said] == ([meant[word]] if word in meant else [])
    with pytest.raises(ValueError, match="; valid: Eyeglasses"):
        resolve_targets(torch.zeros(1, len(NAMES)), {word: SetTo(1)}, NAMES)


def test_words_of_attributes_that_an_editor_has() -> None:
    celeba = ["No_Beard", "Wearing_Lipstick", "Wavy_Hair", "Gray_Hair"]
    for word, meant in (
        ("beard", r"'No_Beard', which runs the other way \(No_Beard=0 is a beard\)\?"),
        ("lipstick", r"'Wearing_Lipstick'\?"),
        ("hair", r"'Wavy_Hair' or 'Gray_Hair'\?"),
    ):
        with pytest.raises(RequestError, match=f"did you mean {meant}; valid: No_Beard"):
            attribute_requests(celeba, flips=[word])
    (request,) = attribute_requests(celeba, flips=["wavy hair"])
    assert list(request.targets) == ["Wavy_Hair"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"assignments": ["Smilin=1"]}, "unknown attribute 'Smilin'; did you mean 'Smiling'"),
        ({"flips": ["Beard"]}, "unknown attribute 'Beard'; valid: Eyeglasses, Male"),
        ({"sweeps": ["Yung=0:1:3"]}, "did you mean 'Young'"),
        ({"assignments": ["Smiling=yes"]}, "'yes' is not a number"),
        ({"assignments": ["Smiling=nan"]}, "'nan' is not a number"),
        ({"assignments": ["Smiling="]}, "is not a number"),
        ({"assignments": ["Smiling"]}, "attribute=value"),
        ({"assignments": ["Smiling=1", "Smiling=0"]}, "named twice"),
        ({"assignments": ["Smiling=1"], "flips": ["Smiling"]}, "named twice"),
        ({"assignments": ["Young=1"], "sweeps": ["Young=0:1:3"]}, "swept and set"),
        ({"sweeps": ["Young=0:1"]}, "attribute=first:last:count"),
        ({"sweeps": ["Young=0:one:3"]}, "'one' is not a number"),
        ({"sweeps": ["Young=0:1:1"]}, "from 2 to"),
        ({"sweeps": ["Young=0:1:2.5"]}, "whole number"),
        ({"strength": float("inf")}, "--strength inf: must be a number between -100 and 100"),
        ({"strength": float("nan")}, "--strength nan: must be a number between"),
        ({"assignments": ["Smiling=1e30"]}, "values lie between -100 and 100; 1 means present"),
        ({"sweeps": ["Smiling=0:-1e30:3"]}, "values lie between -100 and 100"),
        ({"assignments": ["age=1"]}, r"'age'; did you mean 'Young', which runs the other way \(Young=0 is old\)"),
        ({"assignments": ["gender=1"]}, "did you mean 'Male'\\?; valid"),
        ({"flips": ["woman"]}, r"did you mean 'Male', which runs the other way \(Male=0 is female\)"),
        ({"flips": ["glasses"]}, "did you mean 'Eyeglasses'\\?; valid"),
        ({"flips": ["glases"]}, "did you mean 'Eyeglasses'"),
        ({"flips": ["smile"]}, "did you mean 'Smiling'"),
        ({"flips": ["hair"]}, "did you mean 'Wavy_Hair'"),
        ({"flips": ["no_glasses"]}, r"'Eyeglasses', which runs the other way \(Eyeglasses=0 is no glasses\)\?; valid"),
        ({"flips": ["not smiling"]}, r"'Smiling', which runs the other way \(Smiling=0 is not smiling\)\?; valid"),
        ({"flips": ["not old"]}, "did you mean 'Young'\\?; valid"),
        ({"flips": ["no_hair"]}, "unknown attribute 'no_hair'; valid"),
        ({"flips": ["nose"]}, "unknown attribute 'nose'; valid"),
        ({"flips": ["x" * 500]}, "unknown attribute 'x{59}…'; valid"),
        ({"flips": [""]}, "unknown attribute ''; valid"),
    ],
)
def test_what_cannot_be_understood(asked: dict, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        attribute_requests(NAMES, **asked)
