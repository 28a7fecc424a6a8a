"""S²-Flow's published data in the exact format, and files that are something else."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datasets.s2flow_files import read_latents, read_records
from models.parsing.donors import FaceRecord
from utils.weights import WeightsError

CODES = np.random.default_rng(0).standard_normal((7, 1, 18, 512)).astype(np.float32)


def dumped(path: Path, content: Any, protocol: int = 4) -> Path:
    with path.open("wb") as stream:
        pickle.dump(content, stream, protocol)
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "stored",
    [CODES, np.asfortranarray(CODES), CODES.astype(np.float64), list(CODES), torch.from_numpy(CODES), CODES[:, 0]],
    ids=["array", "by column", "float64", "list", "tensor", "without the axis of 1"],
)
def test_codes(stored: Any, protocol: int, tmp_path: Path) -> None:
    codes = read_latents(dumped(tmp_path / "all_latents.pickle", {"Latent": stored}, protocol))
    assert codes.dtype == torch.float32 and codes.shape == (7, 18, 512)
    assert np.array_equal(codes.numpy(), CODES[:, 0])


def record(**attributes: Any) -> dict[str, Any]:
    hair = {"bald": 0.1, "invisible": False, "hairColor": [{"color": "red", "confidence": 0.9}, {"color": "black"}]}
    known = {"smile": 0.75, "gender": "female", "glasses": "ReadingGlasses", "hair": hair, "age": 31.0}
    return {"faceRectangle": {"top": 1, "left": np.float64(2)}, "faceAttributes": {**known, **attributes}}


def test_records_keep_their_places(tmp_path: Path) -> None:
    stored = [
        [record()], record(), [], [record(gender="", glasses=[])], [record(hair={"hairColor": []}, smile=None)], None,
    ]  # fmt: skip
    records = read_records(dumped(tmp_path / "all_att.pickle", {"Attribute": [stored, "more"]}))
    whole = FaceRecord("ReadingGlasses", 0.75, "female", "red")
    unknown = FaceRecord()
    expected = [whole, whole, unknown, FaceRecord(smile=0.75, hair="red"), FaceRecord("ReadingGlasses", None, "female")]
    assert records == [*expected, unknown]
    assert whole.wears_glasses and unknown.wears_glasses is None and FaceRecord("NoGlasses").wears_glasses is False


def test_ten_thousand_records_are_not_too_many(tmp_path: Path) -> None:
    emotions = {f"emotion {index}": index / 7 for index in range(30)}
    stored = [[record(emotion=dict(emotions), age=index / 3)] for index in range(10_000)]
    assert len(read_records(dumped(tmp_path / "all_att.pickle", {"Attribute": [stored]}, 3))) == 10_000


class Program:
    def __reduce__(self) -> Any:
        return print, ("this must not run",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"Latent": Program()}, "print"),
        ({"Latent": np.array([None, "text"], dtype=object)}, "plain numbers|is not read"),
        ({"Latent": [CODES[0], CODES[0, :, :9]]}, "different shapes"),
        ({"Latent": [CODES[0], 1.0]}, "something else where arrays"),
        ({"Latent": []}, "or none"),
        ({"Latent": CODES[0, 0]}, "no codes"),
        ({"Latent": np.full((1, 1, 18, 512), np.nan)}, "not finite"),
        ({"Latent": CODES.astype(">f4")}, "not read"),
        ({"Attribute": []}, "no entry 'Latent'"),
        ([CODES], "no entry 'Latent'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_refused(
    content: Any, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = dumped(tmp_path / "all_latents.pickle", content)
    with pytest.raises(WeightsError, match=rf"all_latents\.pickle: .*({words})"):
        read_latents(path)
    assert capsys.readouterr().out == ""


def test_records_that_are_none(tmp_path: Path) -> None:
    for content, words in (({"Attribute": []}, "no list of face records"), ({}, "no entry 'Attribute'")):
        with pytest.raises(WeightsError, match=words):
            read_records(dumped(tmp_path / "all_att.pickle", content))
    with pytest.raises(WeightsError, match="no such"):
        read_records(tmp_path / "gone.pickle")


def test_a_torn_file_and_an_array_larger_than_its_bytes(tmp_path: Path) -> None:
    path = dumped(tmp_path / "x.pickle", {"Latent": CODES})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="ends in the middle"):
        read_latents(path)
    path.write_bytes(whole.replace(b"K\x07K\x01K\x12", b"K\x08K\x01K\x12", 1))  # seven codes become eight
    with pytest.raises(WeightsError, match="has .* bytes, not"):
        read_latents(path)
