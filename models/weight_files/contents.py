"""Finding the networks in the content of a weight file."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os.path import commonprefix
from typing import Any

import torch
from torch import Tensor, nn

from models import NETWORKS
from models.weight_files.kinds import KINDS, Kind, kind_of, prefix_of_network, unsupported, with_article
from utils.config import Section
from utils.weight_files.foreign import whole_model
from utils.weight_files.formats import Checkpoint
from utils.weight_files.names import PersistentModule, WholeModule
from utils.weight_files.refusal import RefusedFile, shown
from utils.weight_files.stored_tensor import AnyTensor, StoredTensor, read_tensors

_DEEPEST = 4  # nested dicts around a state dict, or of settings
_MOST_SETTINGS = 10_000
_LONGEST_SETTING = 1000  # characters
_LEFT_OUT = object()
_MOST_TENSORS = 5_000  # of one network: the largest published one has 1,558
_MOST_NETWORKS = 20  # in one file: trainings keep up to six
_MOST_SPLITS = 8  # words in which the keys of a state dict differ before the names of its networks
_LONGEST_PREFIX = 300  # characters before a tensor's name: `synthesis.b1024.torgb.affine.` has 29
_WITH_MEAN = ("stylegan2_generator", "e4e_encoder", "psp_encoder")
_AVERAGES = {"ema", "average", "averaged", "smooth"}  # words: moving averages of a training make the better pictures
_OPTIONS = ("opts", "args", "hyper_parameters")  # of e4e and pSp, of rosinality, of Lightning
MEAN = "latent_avg"
# What building a network from shapes out of a damaged file may raise.
_IMPOSSIBLE = (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, AttributeError)


@dataclass
class Found:
    """A network in a file, recognised but not read.

    Attributes:
        place: where in the file, such as `g_ema` or `state_dict.encoder`.
        state: key → tensor, keys without the place.
        extra: tensors that belong to the network but are not weights (`latent_avg`).
        settings: options and constructor arguments in the file, plain values only.
        arguments: constructor arguments that cannot be derived from tensors, as `convert_checkpoint.py` stores them.
    """

    kind: Kind
    place: str
    state: dict[str, AnyTensor]
    extra: dict[str, AnyTensor] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def sizes(self) -> dict[str, Any]:
        """Constructor arguments, derived from the shapes.

        Raises:
            RefusedFile: keys are missing or shapes impossible.
        """
        if len(self.state) > _MOST_TENSORS:
            raise RefusedFile(f"holds {len(self.state):,} tensors in one network, more than any known one has")
        try:
            return {**self.kind.sizes(self._shapes, self.settings), **self.arguments}
        except _IMPOSSIBLE as error:
            raise self._impossible("its keys do not add up", error) from None

    def section(self) -> Section:
        """The network's section, as a config would have it."""
        return Section({"name": self.kind.name, **self.sizes}, self.kind.name)

    def blueprint(self, section: Section) -> nn.Module:
        """The network of a section on the meta device, without memory for its weights.

        Raises:
            RefusedFile: the sizes are impossible.
        """
        try:
            with torch.device("meta"):
                network: nn.Module = NETWORKS.build(section)
                return network
        except _IMPOSSIBLE as error:
            raise self._impossible("of impossible sizes", error) from None

    def _impossible(self, what: str, error: Exception) -> RefusedFile:
        return RefusedFile(f"looks like {with_article(self.kind.title)}, but {what} ({shown(error)})")

    def outline(self) -> dict[str, Tensor]:
        """The state dict under this project's names, shapes only.

        Raises:
            RefusedFile: a tensor's shape is impossible.
        """
        try:
            return self.kind.translated(self._shapes)
        except _IMPOSSIBLE as error:
            raise self._impossible("its keys do not add up", error) from None

    @cached_property
    def _shapes(self) -> dict[str, Tensor]:
        """The state dict without values, except for the few that sizes depend on."""
        shapes = {k: torch.empty(tuple(t.shape), dtype=t.dtype, device="meta") for k, t in self.state.items()}
        first = {key: self.state[key] for key in self.kind.read_first if key in self.state}
        return shapes | read_tensors(first, file_size=0)

    def tensors(self, file_size: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Weights, under this project's names, and extra tensors, read.

        Raises:
            RefusedFile: damaged, not finite, or larger than the file.
        """
        both = read_tensors({**self.state, **{f"extra.{key}": value for key, value in self.extra.items()}}, file_size)
        extra = {key: both.pop(f"extra.{key}") for key in self.extra}
        return self.kind.translated(both), extra


def find_networks(checkpoint: Checkpoint, preferred: str = "") -> tuple[list[Found], list[str]]:
    """The networks in a file, the most commonly used one first, and the keys that belong to none.

    Moving averages come before the averaged networks, an encoder before its decoder, a flow before the encoder of its
    condition, discriminators last.

    Args:
        preferred: name of a kind, for networks with equal keys (pSp and e4e) if the file does not name it.
    Raises:
        RefusedFile: more networks, or more deeply nested ones, than any known file has.
    """
    own = checkpoint.metadata
    options = settings_in(own["options"]) if "options" in own else _options(checkpoint.content)
    arguments = settings_in(own.get("arguments")) if "network" in own else {}
    preferred = _named_kind(checkpoint, options) or preferred
    found: list[Found] = []
    others: dict[str, AnyTensor] = {}
    count = 0
    for place, state, settings in _state_dicts(checkpoint.content):
        count += len(state)
        if count > _MOST_NETWORKS * _MOST_TENSORS:
            raise RefusedFile(f"holds more than {_MOST_NETWORKS * _MOST_TENSORS:,} tensors, more than any known file")
        for prefix, part in _networks_in(state):
            where = ".".join(filter(None, (*place, prefix)))
            kind = kind_of(part, preferred)
            if kind is None:
                others |= {".".join(filter(None, (where, key))): tensor for key, tensor in part.items()}
                continue
            found.append(Found(kind, where, part, settings=settings or options, arguments=arguments))
            if len(found) > _MOST_NETWORKS:
                raise RefusedFile(f"holds more than {_MOST_NETWORKS} networks, more than any known file")
    if not found and isinstance(checkpoint.content, WholeModule):
        raise RefusedFile(whole_model(checkpoint.content.class_name))
    means = {key.removesuffix(MEAN): others.pop(key) for key in list(others) if f".{key}".endswith(f".{MEAN}")}
    for network in found:
        mean = network.state.pop(MEAN, _nearest(means, network.place))
        if network.kind.name in _WITH_MEAN and mean is not None:
            network.extra[MEAN] = mean
    return sorted(found, key=_rank), list(others)


def nothing_known(unknown: Sequence[str]) -> RefusedFile:
    """Why a file is not read in which no network was found.

    Args:
        unknown: the keys of its tensors.
    """
    if not unknown:
        return RefusedFile("holds no tensors under names, as a network's state_dict() has them")
    known = ", ".join(dict.fromkeys(kind.title for kind in KINDS))
    first = f"holds no network of a known kind (its first key is '{shown(unknown[0])}'); known: {known}"
    return RefusedFile(unsupported(unknown) or first)


def _rank(found: Found) -> int:
    places = found.place.split(".")
    words = {word.lower() for place in places for word in place.split("_")}
    second = "decoder" in places or found.kind.name == "mask_encoder"
    return 4 * ("discriminator" in found.kind.name) + 2 * second + (not words & _AVERAGES)


def _nearest(means: Mapping[str, AnyTensor], place: str) -> AnyTensor | None:
    """The mean code of the innermost part of the file that holds the network as well."""
    around = [prefix for prefix in means if f"{place}.".startswith(prefix)]
    return means[max(around, key=len)] if around else None


def _options(content: Any, depth: int = 1) -> dict[str, Any]:
    """What a file of another project says of how its networks were made."""
    if not isinstance(content, dict):
        return {}
    for name in _OPTIONS:
        if isinstance(content.get(name), dict):
            return _options(content[name], 0) or settings_in(content[name])
    inner = (_options(value, depth - 1) for value in content.values()) if depth else ()
    return next(filter(None, inner), {})


def _named_kind(checkpoint: Checkpoint, options: Mapping[str, Any]) -> str:
    """The kind that the file names, for networks with equal keys."""
    named = {"Encoder4Editing": "e4e_encoder", "GradualStyleEncoder": "psp_encoder"}
    return named.get(str(options.get("encoder_type"))) or str(checkpoint.metadata.get("network", ""))


def _networks_in(state: dict[str, AnyTensor]) -> Iterator[tuple[str, dict[str, AnyTensor]]]:
    """Prefix and tensors of each network in a state dict, and of what is none.

    Any number of words may stand before the names of a network. Where the keys are those of no known network, the
    first word in which they differ tells its parts apart, and so on.
    """
    waiting = deque([("", state, 0)])
    while waiting:
        place, part, splits = waiting.popleft()
        shared = commonprefix(list(part)).rpartition(".")
        common = f"{shared[0]}{shared[1]}"
        prefix = prefix_of_network(part, common)
        if prefix is not None or splits == _MOST_SPLITS:
            prefix = prefix or ""
            yield f"{place}{prefix}".removesuffix("."), {key[len(prefix) :]: value for key, value in part.items()}
            continue
        parts: dict[str, dict[str, AnyTensor]] = {}
        alone: dict[str, AnyTensor] = {}
        for key, tensor in part.items():
            word, dot, rest = key[len(common) :].partition(".")
            (parts.setdefault(f"{common}{word}.", {}) if dot else alone)[rest or word] = tensor
        if alone:
            yield f"{place}{common}".removesuffix("."), alone
        waiting += [(f"{place}{start}", inner, splits + 1) for start, inner in parts.items()]


def _state_dicts(content: Any) -> Iterator[tuple[tuple[str, ...], dict[str, AnyTensor], dict[str, Any]]]:
    """Place, tensors and settings of each dict or module with tensors in it; each once, however it is linked."""
    if isinstance(content, list | tuple):
        content = {str(index): value for index, value in enumerate(content)}
    seen: set[int] = set()
    waiting: deque[tuple[tuple[str, ...], Any]] = deque([((), content)])
    while waiting:
        place, node = waiting.popleft()
        if id(node) in seen or len(place) > _DEEPEST:
            continue
        seen.add(id(node))
        if isinstance(node, PersistentModule):
            yield place, _module_tensors(node, seen), _constructor(node)
        elif isinstance(node, dict):
            tensors = {k: v for k, v in node.items() if isinstance(k, str) and isinstance(v, Tensor | StoredTensor)}
            if tensors:
                yield place, tensors, {}
            waiting += [((*place, str(key)), value) for key, value in node.items()]


def _module_tensors(module: PersistentModule, seen: set[int]) -> dict[str, AnyTensor]:
    """The tensors of the module's `state_dict`.

    Args:
        seen: ids of visited objects; each is read once.
    """
    tensors: dict[str, AnyTensor] = {}
    waiting = deque([("", module)])
    while waiting:
        prefix, node = waiting.popleft()
        if len(prefix) > _LONGEST_PREFIX:
            raise RefusedFile("its modules are nested more deeply than any known network's")
        temporary = node.attributes.get("_non_persistent_buffers_set")
        temporary = temporary if isinstance(temporary, set) else set()
        for group in ("_parameters", "_buffers"):
            for key, value in _items(node.attributes.get(group), seen):
                if isinstance(value, StoredTensor) and key not in temporary:
                    tensors[f"{prefix}{key}"] = value
        for key, value in _items(node.attributes.get("_modules"), seen):
            if isinstance(value, PersistentModule) and id(value) not in seen:
                seen.add(id(value))
                waiting.append((f"{prefix}{key}.", value))
    return tensors


def _items(values: Any, seen: set[int]) -> list[tuple[Any, Any]]:
    if not isinstance(values, dict) or id(values) in seen:
        return []
    seen.add(id(values))
    return list(values.items())


def _constructor(module: PersistentModule) -> dict[str, Any]:
    """Constructor arguments of the module."""
    return {"class_name": module.class_name, **settings_in(module.attributes.get("_init_kwargs"))}


def settings_in(values: Any) -> dict[str, Any]:
    """Settings of a file as JSON values: short texts, numbers and their lists and dicts; the rest is left out."""
    left = [_MOST_SETTINGS]

    def plain(value: Any, depth: int) -> Any:
        left[0] -= 1
        if left[0] < 0 or depth > _DEEPEST:
            return _LEFT_OUT
        if isinstance(value, str) and len(value) > _LONGEST_SETTING:
            return _LEFT_OUT
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, dict):
            items = {str(key): plain(item, depth + 1) for key, item in value.items()}
            return {key: item for key, item in items.items() if item is not _LEFT_OUT}
        if isinstance(value, list | tuple):
            return [item for item in (plain(item, depth + 1) for item in value) if item is not _LEFT_OUT]
        return _LEFT_OUT

    result = plain(values, 0)
    return result if isinstance(result, dict) else {}
