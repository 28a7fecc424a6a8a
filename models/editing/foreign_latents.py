"""Latent codes in files of other projects: e4e's and PTI's tensors, pSp's and StyleSpace's arrays, NVIDIA's
`projected_w.npz`, InterFaceGAN's codes of W. Nothing in a file is executed."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.domain import Domain
from models.editing.saved_latents import SavedLatent
from utils.paths import displayed
from utils.weight_files.formats import read_checkpoint
from utils.weight_files.refusal import RefusedFile, shown
from utils.weight_files.stored_tensor import StoredTensor, read_tensors
from utils.weights import WeightsError

_NAMES = ("w", "w_plus", "wplus", "latent", "latents", "latent_code", "latent_codes", "codes", "code", "projected_w")
_MOST_ENTRIES = 100_000  # codes in a file
_MOST_BYTES = 4_000_000_000  # of an array that is packed in a file; 100,000 codes of W+ have 3.7
_WAY_OUT = "save the codes alone, as an array (N, styles, width) or (N, width): numpy.save(FILE, codes)"


_DAMAGED = (zipfile.BadZipFile, zlib.error, tokenize.TokenError, RecursionError, OverflowError, TypeError)


def read_codes(path: Path, domain: Domain) -> Tensor:
    """The codes (N, L, D) in a file, as they lie in the generator's own space.

    An array (L, D) is one code; any other (N, D) holds N codes of W, which are the same for all styles.

    Raises:
        WeightsError: no such file, damaged, objects in it, or no codes of this shape.
    """
    try:
        stored = _array(path) if path.suffix.lower() in (".npy", ".npz") else _tensor(path)
        return _shaped(stored, domain.styles, domain.style_dim)
    except RefusedFile as error:
        raise WeightsError(f"{displayed(path)}: {error}") from None


def as_saved(code: Tensor, domain: Domain) -> SavedLatent:
    """A code (L, D) of the generator as a face without photograph: what is read of it is read from its picture."""
    if domain.latent_space is not None:
        code = domain.latent_space.enter(code[None].to(domain.device))[0].cpu()
    return SavedLatent(code, None, None, 0.0, {"editor": None})


def _array(path: Path) -> Tensor:
    try:
        loaded: Any = np.load(path, mmap_mode=None, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            array = loaded
        else:
            with loaded as archive:
                name = _chosen(dict.fromkeys(archive.files))
                if max((entry.file_size for entry in archive.zip.infolist()), default=0) > _MOST_BYTES:
                    raise RefusedFile(f"holds more than {_MOST_BYTES // 10**9} GB: take a part of the codes")
                array = np.asarray(archive[name])  # the bytes of an entry that is no array
    except RefusedFile:
        raise
    except FileNotFoundError:
        raise RefusedFile("there is no such file") from None
    except (OSError, ValueError, EOFError, LookupError, MemoryError, SyntaxError, *_DAMAGED) as error:
        if "allow_pickle" in str(error):
            raise RefusedFile(
                f"holds Python objects, which are not read since they may run programs: {_WAY_OUT}"
            ) from None
        raise RefusedFile(f"is damaged or no NumPy file ({shown(error)})") from None
    if array.dtype.kind != "f":
        raise RefusedFile(f"holds values of type {shown(str(array.dtype))}, not codes: {_WAY_OUT}")
    with np.errstate(over="ignore"):  # what becomes infinite is refused
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _tensor(path: Path) -> Tensor:
    checkpoint = read_checkpoint(path)
    found = _codes_in(checkpoint.content, depth=2)
    if not found:
        raise RefusedFile(f"holds no latent codes, or several entries of which none is named {_NAMES[0]}: {_WAY_OUT}")
    tensors = list(read_tensors({str(i): tensor for i, tensor in enumerate(found)}, checkpoint.size).values())
    if len({tensor.shape for tensor in tensors}) != 1:
        raise RefusedFile(f"holds codes of different shapes: {_WAY_OUT}")
    single = [tensor[0] if tensor.ndim == 3 and len(tensor) == 1 else tensor for tensor in tensors]
    return (tensors[0] if len(tensors) == 1 else torch.stack(single)).float()


def _codes_in(content: Any, depth: int) -> list[Tensor | StoredTensor]:
    """A tensor, the tensors of a list, or the entry of a dict that is named as codes are; rosinality's projector
    writes a dict of such for each picture."""
    if isinstance(content, Tensor | StoredTensor):
        return [content]
    if depth == 0 or not isinstance(content, list | tuple | dict) or len(content) > _MOST_ENTRIES:
        return []
    if isinstance(content, dict):
        named = [value for key, value in content.items() if isinstance(key, str) and key.lower() in _NAMES]
        if named:
            return _codes_in(named[0], depth - 1)
        if len(content) == 1 or all(isinstance(value, dict) for value in content.values()):
            return [code for value in content.values() for code in _codes_in(value, depth - 1)]
        return []
    return [code for value in content for code in _codes_in(value, 1)]


def _chosen(arrays: Mapping[str, Any]) -> str:
    for name in arrays:
        if name.lower() in _NAMES or len(arrays) == 1:
            return name
    raise RefusedFile(f"holds {len(arrays)} arrays, of which none is named {_NAMES[0]}: {_WAY_OUT}")


def _shaped(codes: Tensor, styles: int, width: int) -> Tensor:
    shape = tuple(codes.shape)
    while codes.ndim > 3 and codes.shape[0] == 1:
        codes = codes[0]
    if codes.ndim == 1:
        codes = codes[None]
    if codes.ndim == 2 and codes.shape == (styles, width):
        codes = codes[None]
    elif codes.ndim == 2:
        codes = codes[:, None]
    if codes.ndim == 3 and codes.shape[1] == 1:
        codes = codes.expand(-1, styles, -1)
    if codes.ndim != 3 or codes.shape[1:] != (styles, width) or not len(codes):
        raise RefusedFile(
            f"holds an array of shape {shown(str(shape))}; codes of this domain are (N, {styles}, {width}), "
            f"({styles}, {width}) or, of W, (N, {width})"
        )
    if len(codes) > _MOST_ENTRIES:
        raise RefusedFile(f"holds {len(codes):,} codes; at most {_MOST_ENTRIES:,} are edited at once")
    if not bool(torch.isfinite(codes[:, :1] if codes.stride(1) == 0 else codes).all()):
        raise RefusedFile("holds values that are not finite, or too large for 32 bits")
    return codes
