"""The names and shapes that NVlabs/stylegan2-ada-pytorch gives to a StyleGAN2 generator, and the public ones.

One network has two descriptions: `synthesis.b8.conv0.weight` of a pickle is `convs.0.conv.weight` of
rosinality/stylegan2-pytorch, which `models/stylegan2/generator.py` carries. The numbers are the same; axes of length
one differ, and the public FIR filters contain the gain that makes up for inserted zeros. Both directions read one
table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from models.stylegan2.generator import Generator
from models.stylegan2.layers import FIR_TAPS
from models.stylegan2.ops import setup_filter

_UP = 2  # factor of every enlargement
_RGB = 3
_BLOCK = re.compile(r"synthesis\.b\d+\.torgb\.weight")
_MAPPING_LAYER = re.compile(r"mapping\.fc\d+\.weight")
_PUBLIC_LEVEL = re.compile(r"to_rgbs\.\d+\.bias")
_PUBLIC_MAPPING_LAYER = re.compile(r"style\.\d+\.weight")
# NVlabs' constructor arguments that choose another network under the same names, with the only value known here
_FIXED_ARGUMENTS = {"architecture": "skip", "activation": "lrelu", "use_noise": True}


class _Entry(NamedTuple):
    """One tensor under both names.

    `axes` counts those of NVlabs' shape; the public one has `before` and `after` more, of length one.
    """

    nvlabs: str
    public: str
    axes: int
    before: int = 0
    after: int = 0


def _linear(nvlabs: str, public: str) -> Iterator[_Entry]:
    yield _Entry(f"{nvlabs}.weight", f"{public}.weight", 2)
    yield _Entry(f"{nvlabs}.bias", f"{public}.bias", 1)


def _layer(nvlabs: str, public: str, noise: int) -> Iterator[_Entry]:
    yield _Entry(f"{nvlabs}.weight", f"{public}.conv.weight", 4, before=1)
    yield _Entry(f"{nvlabs}.bias", f"{public}.activate.bias", 1)
    yield _Entry(f"{nvlabs}.noise_strength", f"{public}.noise.weight", 0, before=1)
    yield _Entry(f"{nvlabs}.noise_const", f"noises.noise_{noise}", 2, before=2)
    yield from _linear(f"{nvlabs}.affine", f"{public}.conv.modulation")


def _to_rgb(nvlabs: str, public: str) -> Iterator[_Entry]:
    yield _Entry(f"{nvlabs}.weight", f"{public}.conv.weight", 4, before=1)
    yield _Entry(f"{nvlabs}.bias", f"{public}.bias", 1, before=1, after=2)
    yield from _linear(f"{nvlabs}.affine", f"{public}.conv.modulation")


def _weights(levels: int, mapping_layers: int, conditional: bool, stored_mean: bool) -> list[_Entry]:
    """All tensors but the FIR filters of a network whose side is 4 · 2^levels."""
    entries = [_Entry("mapping.w_avg", "w_avg", 1)] if stored_mean else []
    entries += _linear("mapping.embed", "embed") if conditional else []
    for index in range(mapping_layers):
        entries += _linear(f"mapping.fc{index}", f"style.{index + 1}")
    entries.append(_Entry("synthesis.b4.const", "input.input", 3, before=1))
    entries += _layer("synthesis.b4.conv1", "conv1", 0)
    entries += _to_rgb("synthesis.b4.torgb", "to_rgb1")
    for level in range(levels):
        block = f"synthesis.b{8 * 2**level}"
        for index in range(2):
            entries += _layer(f"{block}.conv{index}", f"convs.{2 * level + index}", 2 * level + index + 1)
        entries += _to_rgb(f"{block}.torgb", f"to_rgbs.{level}")
    return entries


def _filters(levels: int) -> dict[str, str | None]:
    """Each FIR filter of NVlabs' -> its public name; None where the layer, which keeps its side, never uses it."""
    names: dict[str, str | None] = {"synthesis.b4.resample_filter": None, "synthesis.b4.conv1.resample_filter": None}
    for level in range(levels):
        block = f"synthesis.b{8 * 2**level}"
        names[f"{block}.resample_filter"] = f"to_rgbs.{level}.upsample.kernel"
        names[f"{block}.conv0.resample_filter"] = f"convs.{2 * level}.conv.blur.kernel"
        names[f"{block}.conv1.resample_filter"] = None
    return names


def _gain(kernel: Tensor) -> int:
    """Factor between the filters; a vector is applied along both axes and has its root."""
    return int(_UP**kernel.ndim)


def _count(state: Mapping[str, Tensor], pattern: re.Pattern[str]) -> int:
    return sum(1 for key in state if pattern.fullmatch(key))


def _check(state: Mapping[str, Tensor], axes: Mapping[str, int], filters: Iterable[str], kind: str) -> None:
    """Raise unless the state has the keys of `axes`, each with its number of axes, and beside them none but filters."""
    allowed = {**dict.fromkeys(filters, (1, 2)), **{key: (count,) for key, count in axes.items()}}
    wrong = [key for key in state if key in allowed and state[key].ndim not in allowed[key]]
    problems = [
        f"{title} {', '.join(keys[:3])}{f' and {len(keys) - 3} more' if len(keys) > 3 else ''}"
        for title, keys in (
            ("lacks", sorted(axes.keys() - state.keys())),
            ("has the unknown", sorted(state.keys() - allowed.keys())),
            ("has of another kind of shape", [f"{key} {tuple(state[key].shape)}" for key in wrong]),
        )
        if keys
    ]
    if problems:
        raise ValueError(f"not the tensors of {kind}: {'; '.join(problems)}")


def _from_nvlabs(state: Mapping[str, Tensor]) -> tuple[list[_Entry], dict[str, str | None]]:
    """The table of the network that has these names, checked."""
    levels = max(_count(state, _BLOCK) - 1, 1)
    layers = _count(state, _MAPPING_LAYER)
    weights = _weights(levels, layers, "mapping.embed.weight" in state, "mapping.w_avg" in state)
    filters = _filters(levels)
    kind = "an NVlabs StyleGAN2 generator (skip architecture, with noise)"
    _check(state, {entry.nvlabs: entry.axes for entry in weights}, filters, kind)
    channels = state["synthesis.b4.torgb.weight"].shape[0]
    if channels != _RGB:
        raise ValueError(f"this NVlabs generator draws pictures of {channels} channels; only RGB is supported")
    return weights, filters


def public_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The public state of an NVlabs generator's: what `Generator` loads.

    Args:
        state: NVlabs' names (`G_ema.state_dict()`) -> tensors; FIR filters may be missing.
    Returns:
        public names -> views of the same numbers; `mapping.w_avg` becomes `w_avg`. Filters that no layer uses are left
        out.
    Raises:
        ValueError: names of another network; says which.
    """
    weights, filters = _from_nvlabs(state)
    public = {}
    for entry in weights:
        value = state[entry.nvlabs]
        public[entry.public] = value.reshape((1,) * entry.before + tuple(value.shape) + (1,) * entry.after)
    for name, target in filters.items():
        if target and name in state:
            public[target] = state[name] * _gain(state[name])
    return public


def nvlabs_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `public_keys`: bit for bit, since the gain of a filter is a power of two.

    Args:
        state: public names, as `Generator.state_dict()` or a rosinality file's `g_ema` has them, with noise maps. Where
            filters are missing, the published one is written. A truncation centre is `w_avg` here.
    Raises:
        ValueError: names of another network; says which.
    """
    levels = max(_count(state, _PUBLIC_LEVEL), 1)
    layers = _count(state, _PUBLIC_MAPPING_LAYER)
    weights = _weights(levels, layers, "embed.weight" in state, "w_avg" in state)
    filters = _filters(levels)
    axes = {entry.public: entry.before + entry.axes + entry.after for entry in weights}
    _check(state, axes, [target for target in filters.values() if target], "a StyleGAN2 generator with public names")
    found = {}
    for entry in weights:
        value = state[entry.public]
        found[entry.nvlabs] = value.reshape(value.shape[entry.before : entry.before + entry.axes])
    used = {name: state[target] for name, target in filters.items() if target and target in state}
    own = {name: kernel / _gain(kernel) for name, kernel in used.items()}
    unused = next(iter(own.values()), setup_filter(FIR_TAPS))  # NVlabs builds all from the same taps
    return found | {name: own.get(name, unused).clone() for name in filters}


def sizes_from_nvlabs(state: Mapping[str, Tensor], arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Constructor arguments of the `Generator` that loads `public_keys(state)`.

    Args:
        state: NVlabs' names -> tensors.
        arguments: keyword arguments that NVlabs' Generator was made with (a pickle stores them), with
            `synthesis_kwargs` and `mapping_kwargs` inside: `conv_clamp` and `lr_multiplier` leave no trace in tensors.
    Raises:
        ValueError: names of another network, or arguments of one that is not supported; says which.
    """
    public = public_keys(state)
    given = dict(arguments or {})
    mapping = _settings(given, "mapping_kwargs")
    synthesis = {**given, **_settings(given, "synthesis_kwargs")}  # stylegan3's copy takes the latter's without nesting
    for settings in (synthesis, mapping):
        for name, known in _FIXED_ARGUMENTS.items():
            if settings.get(name, known) != known:
                raise ValueError(f"this NVlabs generator has {name}={settings[name]!r}; only {known!r} is supported")
    clamp = synthesis.get("conv_clamp")
    kernel = state.get("synthesis.b8.conv0.resample_filter", setup_filter(FIR_TAPS))
    taps = kernel if kernel.ndim == 1 else kernel.sum(0)
    return {
        **Generator.sizes_from_shapes({name: tuple(value.shape) for name, value in public.items()}),
        "mapping_lr_multiplier": _positive("lr_multiplier", mapping.get("lr_multiplier", 0.01)),
        "conv_clamp": None if clamp is None else _positive("conv_clamp", clamp),
        "resample_filter": tuple(taps.tolist()),
    }


def _settings(arguments: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Nested keyword arguments, none if they are not there."""
    value = arguments.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise ValueError(f"{name} of this NVlabs generator is {type(value).__name__}, expected a dict")
    return value or {}


def _positive(name: str, value: Any) -> float:
    if not isinstance(value, (int, float)) or not value > 0:
        raise ValueError(f"{name} of this NVlabs generator is {value!r}, expected a positive number")
    return float(value)
