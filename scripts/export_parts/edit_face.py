#!/usr/bin/env python
"""Edit an aligned face with an exported editor: NumPy, ONNX Runtime and Pillow, no PyTorch, nothing of SDFlow.

python edit_face.py FACE.png OUT.png Smiling=1 Eyeglasses=0     an editor of attributes
python edit_face.py FACE.png OUT.png OTHER.png                  any other: what it reads from a second face
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, PngImagePlugin

FOLDER = Path(__file__).parent
PIPELINE = json.loads((FOLDER / "pipeline.json").read_text(encoding="utf-8"))


def run(steps: str, values: dict) -> dict:
    for step in PIPELINE[steps]:
        session = onnxruntime.InferenceSession(str(FOLDER / step["file"]))
        given = {name: values[value] for name, value in step["inputs"].items()}
        (values[step["output"]],) = session.run(None, given)
    return values


def read(path: str) -> np.ndarray:
    before, picture = PIPELINE["before"], Image.open(path).convert("RGB")
    side, wanted = min(picture.size), (before["side"], before["side"])
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    picture = picture.crop((left, top, left + side, top + side))
    if picture.size != wanted:
        picture = picture.resize(wanted, Image.Resampling.LANCZOS)
    pixels = np.asarray(picture, np.float32) / np.float32(before["divide_by"]) - np.float32(before["subtract"])
    return pixels.transpose(2, 0, 1)[None]


def write(picture: np.ndarray, path: str) -> None:
    after, mark = PIPELINE["after"], PngImagePlugin.PngInfo()
    pixels = (picture[0].transpose(1, 2, 0) + after["add"]) * after["multiply_by"]
    mark.add_text("Software", "SDFlow: an edited face")
    Image.fromarray(pixels.clip(*after["clip"]).round().astype(np.uint8)).save(path, "PNG", pnginfo=mark)


def main(face: str, out: str, *wanted: str) -> None:
    values = run("invert", {"image": read(face)})
    values["target"] = values["condition"].copy()
    for word in wanted:
        name, _, value = word.partition("=")
        if value:
            values["target"][:, PIPELINE["condition"]["attributes"].index(name)] = float(value)
        else:
            values["target"] = run("invert", {"image": read(word)})["condition"]
    write(run("edit", values)["picture"], out)


main(*sys.argv[1:])
