"""Writing networks in this project's format and in the public ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.stylegan2.nvlabs import nvlabs_keys
from models.weight_files.kinds import kind_of, title_of, with_article
from models.weight_files.loading import NetworkState
from utils.files import write_atomically
from utils.weights import WeightsError, save_weights

_NATURAL = {
    "stylegan2_generator": "rosinality", "e4e_encoder": "e4e", "psp_encoder": "psp", "deeplab_v3": "deeplab",
}  # fmt: skip
_ENCODER_TYPES = {"e4e_encoder": "Encoder4Editing", "psp_encoder": "GradualStyleEncoder"}


def write_own(path: str | Path, network: NetworkState) -> None:
    """Write this project's safetensors file; the tensors are stored bit for bit."""
    kind = kind_of(network.tensors, network.kind)
    derived = kind.sizes(network.tensors, {}) if kind is not None else {}
    metadata = {
        "network": network.kind,
        "arguments": {key: value for key, value in network.sizes.items() if derived.get(key) != value},
        "options": network.metadata,
        "origin": network.format,
    }
    save_weights(path, {**network.tensors, **network.extra}, metadata)


def natural_format(kind: str) -> str:
    """The public format in which networks of a kind are published."""
    return _NATURAL.get(kind, "plain")


def write_public(path: str | Path, network: NetworkState, form: str, decoder: NetworkState | None = None) -> None:
    """Write a `torch.save` file for other projects.

    Args:
        form: a key of `PUBLIC_FORMATS`.
        decoder: generator for a file of e4e or pSp, whose programs need both.
    Raises:
        WeightsError: the format has no place for such a network.
    """
    content = PUBLIC_FORMATS[form](network, decoder)
    write_atomically(path, lambda temporary: torch.save(content, temporary))


def _plain(network: NetworkState, _: NetworkState | None) -> dict[str, Any]:
    """The state dict itself: IR-SE50, iresnet, classifiers, `prior-*`, `labeldist-*`, `modellarge10k.pt`."""
    return _ordered(network.tensors)


def _rosinality(network: NetworkState, _: NetworkState | None) -> dict[str, Any]:
    """`g_ema` and `latent_avg`."""
    _expect(network, "stylegan2_generator", "rosinality")
    state = dict(network.tensors)
    if "embed.weight" in state:
        raise WeightsError("rosinality's format has no conditional generators; use --to nvlabs")
    mean = network.extra.get("latent_avg", state.pop("w_avg", None))
    return {"g_ema": _ordered(state), **({} if mean is None else {"latent_avg": mean})}


def _nvlabs(network: NetworkState, _: NetworkState | None) -> dict[str, Any]:
    """State dict of `G_ema` under NVlabs' names. Their pickles contain source code, which is not written here."""
    _expect(network, "stylegan2_generator", "nvlabs")
    state = dict(network.tensors)
    if "w_avg" not in state and "latent_avg" in network.extra:
        state["w_avg"] = network.extra["latent_avg"]
    try:
        return {"G_ema": _ordered(nvlabs_keys(state)), "opts": network.metadata}
    except ValueError as error:
        raise WeightsError(str(error)) from None


def _deeplab(network: NetworkState, _: NetworkState | None) -> dict[str, Any]:
    """`state_dict` as DataParallel names its keys."""
    _expect(network, "deeplab_v3", "deeplab")
    return {"state_dict": _ordered({f"module.{key}": value for key, value in network.tensors.items()})}


def _encoder(kind: str, form: str) -> Callable[[NetworkState, NetworkState | None], dict[str, Any]]:
    def content(network: NetworkState, decoder: NetworkState | None) -> dict[str, Any]:
        _expect(network, kind, form)
        state = {f"encoder.{key}": value for key, value in network.tensors.items()}
        if decoder is not None:
            _expect(decoder, "stylegan2_generator", f"the decoder of {form}")
            state |= {f"decoder.{key}": value for key, value in decoder.tensors.items()}
        options = {"encoder_type": _ENCODER_TYPES[kind], "start_from_latent_avg": True, **network.metadata}
        return {"state_dict": _ordered(state), "opts": options, **network.extra}

    return content


def _ordered(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return OrderedDict((key, value.contiguous().clone()) for key, value in state.items())


def _expect(network: NetworkState, kind: str, form: str) -> None:
    if network.kind != kind:
        raise WeightsError(f"{form} takes {with_article(title_of(kind))}, not {with_article(title_of(network.kind))}")


PUBLIC_FORMATS: dict[str, Callable[[NetworkState, NetworkState | None], dict[str, Any]]] = {
    "plain": _plain,
    "rosinality": _rosinality,
    "nvlabs": _nvlabs,
    "e4e": _encoder("e4e_encoder", "e4e"),
    "psp": _encoder("psp_encoder", "psp"),
    "deeplab": _deeplab,
}
