"""Files that are not read, named for what they are, each with the way out.

What a file is, is told by names and opcodes that stand in its bytes; nothing is imported, built or run to find out.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from utils.weight_files.refusal import shown

_SAVE_WEIGHTS = "load it in the project it comes from and save its weights alone, torch.save(model.state_dict(), FILE)"
_OTHER_NETWORK = (
    "which is another network than StyleGAN2 and not supported: take a StyleGAN2 generator (of stylegan2-ada-pytorch "
    "or rosinality)"
)
TENSORFLOW = (
    "is a TensorFlow pickle of StyleGAN's original release, which is not read: take the network's PyTorch pickle (of "
    "stylegan2-ada-pytorch), or convert this one there with legacy.py"
)
STYLEGAN3 = f"holds a StyleGAN3 generator, {_OTHER_NETWORK}"
DIFFUSION = f"holds a diffusion model, {_OTHER_NETWORK}"
TORCHSCRIPT = f"is a TorchScript program, not weights, and no program is run here: {_SAVE_WEIGHTS}"
_TENSORFLOW_NAMES = ("dnnlib.tflib.", "tfutil.")
_NUMPY_ARRAYS = re.compile(r"numpy\.(ndarray|(core|_core)\.(multiarray|numeric)\._(reconstruct|frombuffer))")
_STYLEGAN3 = re.compile(rb"SynthesisInput|magnitude_ema")  # a class of its, and what each of its layers keeps
_PUBLISHED_WHOLE = ("Encoder_Swap", "LatentMapper")  # classes of networks that are published as whole modules
_NEAR = 400  # bytes from a module's class to `_parameters`, which comes first or second in its state
# Operations of pickles (`pickletools` describes each): a name, what remembers it, an object of the class of that name,
# and the beginning of a module's state. Legacy files of torch.save name a module's class behind the word 'module'.
_TENSORFLOW = re.compile(rb"(c|\x8c.)(dnnlib\.tflib\.|tfutil)", re.DOTALL)
_MEMO = rb"(?:q.|r.{4}|\x94)?"
_WORDS = rb"([\w.]{1,250})"
_NAMED = rb"\x8c." + _WORDS + _MEMO + rb"\x8c." + _WORDS + _MEMO + rb"\x93"  # since protocol 4
_CLASS = rb"(?:c" + _WORDS + rb"\n" + _WORDS + rb"\n|" + _NAMED + rb")" + _MEMO
_OBJECT = rb"\)\x81"
_STATE = _MEMO + rb"}" + _MEMO + rb"\((?:X.{4}|\x8c.)(?:training|_parameters|_backend)"
_INSTANCE = re.compile(_MEMO + _OBJECT, re.DOTALL)
_MODEL = re.compile(rb"X\x06\0{3}module" + _MEMO + _CLASS + rb"|" + _CLASS + _OBJECT + _STATE, re.DOTALL)


def other_archive(names: Collection[str]) -> str | None:
    """What a zip archive of files of these names is, as the end of a sentence; None if torch.save may have written it.

    The archive of `torch.save` has a folder with `data.pkl` in it; that of TorchScript has the program beside it.
    """
    names = set(names)
    folders = [name.removesuffix("data.pkl") for name in names if re.fullmatch(r"[^/]+/data\.pkl", name)]
    if any(re.match(r"[^/]+/(constants\.pkl|model\.json|bytecode\.pkl)$", name) for name in names):
        return TORCHSCRIPT
    if len(folders) == 1:
        return TORCHSCRIPT if any(name.startswith(f"{folders[0]}code/") for name in names) else None
    if any(re.search(r"(^|/)(archive_format|serialized_exported_program\.json)$", name) for name in names):
        return f"is a program of torch.export, not weights, and no program is run here: {_SAVE_WEIGHTS}"
    if names and all(name.endswith(".npy") for name in names):
        return "is an archive of NumPy arrays (.npz); of weights only PyTorch and safetensors files are read"
    if "model.weights.h5" in names:
        return "is a Keras model; only PyTorch and safetensors files are read"
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return "is a PyTorch file that was unpacked and packed again; fetch the original file"
    return "is an archive of other files than PyTorch's; if your browser packed it, unpack it first"


def other_pickle(beginning: bytes) -> str | None:
    """What a pickle that begins so is, as the end of a sentence; None if it may be one that is read."""
    if _TENSORFLOW.search(beginning):
        return TENSORFLOW
    if _STYLEGAN3.search(beginning):
        return STYLEGAN3
    found = _MODEL.search(beginning)
    name = ".".join(word.decode() for word in found.groups() if word) if found else ""
    return None if not name or name.rpartition(".")[2] in _PUBLISHED_WHOLE else whole_model(name)


def unknown_name(name: str, data: memoryview, position: int, is_module: bool) -> str:
    """Why a pickle is not read that refers to this name, as the end of a sentence.

    Args:
        data, position: the pickle, and where it goes on behind the name.
        is_module: the file records the name as the class of a network.
    """
    if name.startswith(_TENSORFLOW_NAMES):
        return TENSORFLOW
    if _STYLEGAN3.search(data[:position]):
        return STYLEGAN3
    if is_network(name, data, position, is_module):
        return whole_model(name)
    if _NUMPY_ARRAYS.fullmatch(name):
        return (
            "holds NumPy arrays in its pickle, from which only PyTorch's tensors are read; nothing in it was run: "
            "save them as tensors where the file was made"
        )
    if makes_object(data, position):
        return (
            f"holds an object of class '{shown(name)}', which is not read here; nothing in it was run: if it lies "
            f"beside a network, {_SAVE_WEIGHTS}"
        )
    return (
        f"refers to '{shown(name)}', which is none of the names that known weight files need; nothing in it was run: "
        f"if you trust it and it holds a network, {_SAVE_WEIGHTS}"
    )


def is_network(name: str, data: memoryview, position: int, is_module: bool) -> bool:
    """Whether a name in a pickle is the class of a network; arguments as of `unknown_name`."""
    near = bytes(data[position : position + _NEAR])
    return is_module or (makes_object(data, position) and (b"_parameters" in near or name.startswith("torch.nn.")))


def makes_object(data: memoryview, position: int) -> bool:
    """Whether an object of the class is made whose name ends here."""
    return _INSTANCE.match(bytes(data[position : position + _NEAR])) is not None


def whole_model(name: str) -> str:
    """Why a pickled module of a class is not read, as the end of a sentence."""
    return f"holds a whole pickled model of class '{shown(name)}', whose program is not run here: {_SAVE_WEIGHTS}"
