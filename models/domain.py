"""A face domain: everything that is frozen for one kind of face.

Built from a file of `configs/domains/`; each network is loaded when it is first used, so that a command needs only the
weight files of the networks that it calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from models import NETWORKS
from models.weight_files import fill_network, network_in
from utils.celeba import CELEBA_ATTRIBUTES
from utils.config import ConfigError, Section, convert, load_config, nearest
from utils.options import PRECISIONS
from utils.paths import displayed, resolve
from utils.weight_files.formats import read_checkpoint
from utils.weights import WeightsError, fingerprint, freeze

PARTS = ("generator", "encoder", "teacher", "judge", "identity")
_SETTINGS = {
    "name": str,
    "attributes": tuple[str, ...],
    "image_side": int,
    "aligner": dict,
    "classifier_outputs": str | tuple[str, ...],
    "synthesis_resize": str,
    "weights_hint": str,
    "reconstruction_limit": float | None,
    "foreign_face_hint": str,
    "precision": Literal[PRECISIONS],
    "recompute_from": int | None,
    "synthesis_batch": int | None,
    "latent_space": dict | None,
}


class Domain:
    """Frozen generator, encoder, teacher, judge and identity network with the sizes they share.

    Args:
        config: the domain's section: `name`, `attributes`, `image_side` (side of the pictures that encoder and
            classifiers see), one section a network (`name`, its sizes, `weights`). Three keys concern cost alone:
            `precision` of generator and encoder (float32, bfloat16); `recompute_from` and `synthesis_batch` save
            memory where gradients pass through the generator, by computing its levels of that side and above, or
            each portion of so many faces, again in the backward pass. `latent_space` names a map with `enter` and
            `leave` that stands between the two networks' codes and everybody else's.
        device: where the networks live.
    Raises:
        ConfigError: unknown or missing keys.
    """

    def __init__(self, config: Section, device: torch.device | str = "cpu") -> None:
        for key in config:
            if key not in _SETTINGS and key not in PARTS:
                raise ConfigError(f"{config.where(key)}: a domain has no such key{nearest(key, [*_SETTINGS, *PARTS])}")
        values = {}
        for key in _SETTINGS.keys() & config.keys():
            try:
                values[key] = convert(config[key], _SETTINGS[key])
            except TypeError as error:
                raise ConfigError(f"{config.where(key)}: {error}") from None
        for key in ("name", "attributes", "image_side"):
            if key not in values:
                raise ConfigError(f"{config.where()}: a domain needs '{key}'")
        self.config = config
        self._fingerprints: dict[str, str] = {}  # of parts, whose weights do not change
        self.device = torch.device(device)
        self.name: str = values["name"]
        self.attributes: tuple[str, ...] = values["attributes"]
        self.image_side: int = values["image_side"]
        self.aligner: dict[str, Any] = values.get("aligner", {"name": "resize"})
        outputs = values.get("classifier_outputs", self.attributes)
        self.classifier_outputs: tuple[str, ...] = CELEBA_ATTRIBUTES if outputs == "celeba" else tuple(outputs)
        self.synthesis_resize: str = values.get("synthesis_resize", "nearest")
        self.reconstruction_limit: float | None = values.get("reconstruction_limit")
        self.foreign_face_hint: str = values.get("foreign_face_hint", "")
        self.weights_hint: str = values.get("weights_hint", "")
        self.precision: str = values.get("precision", "float32")
        self.recompute_from: int | None = values.get("recompute_from")
        self.synthesis_batch: int | None = values.get("synthesis_batch")
        for key in ("recompute_from", "synthesis_batch"):
            if values.get(key) is not None and values[key] < 1:
                raise ConfigError(f"{config.where(key)}: must be at least 1, not {values[key]}")
        unknown = [name for name in self.attributes if name not in self.classifier_outputs]
        if unknown:
            raise ConfigError(f"{config.where('attributes')}: the classifier has no output '{unknown[0]}'")

    @classmethod
    def from_file(cls, path: str | Path, device: torch.device | str = "cpu") -> Domain:
        """The domain of a file such as `configs/domains/avatars.yaml`."""
        return cls(load_config(resolve(path)), device)

    @property
    def styles(self) -> int:
        """L: style vectors in a latent code."""
        return self.generator.latent_count

    @property
    def style_dim(self) -> int:
        """D: width of a style vector."""
        return self.generator.style_dim

    def weights_path(self, part: str) -> Path:
        """Where the weights of a part lie, whether or not they are there."""
        section = self.config.section(part)
        if not isinstance(section.get("weights"), str):
            raise ConfigError(f"{section.where('weights')}: names the weight file of the domain's {part}")
        return resolve(section["weights"])

    def untrained(self, part: str) -> nn.Module:
        """The network of a part with initial weights (for training that part)."""
        section = self.config.section(part)
        section.pop("weights", None)
        return NETWORKS.build(section)

    def from_weights(self, part: str, path: Path) -> tuple[nn.Module, dict[str, Any]]:
        """The same with the weights of a file of any known format, and the file's metadata if this project wrote it.

        Raises:
            WeightsError: no such file, or one that does not fit.
        """
        network, checkpoint = self.untrained(part), read_checkpoint(path)
        fill_network(network, self.config.section(part)["name"], checkpoint)
        return network, checkpoint.metadata

    def _load(self, part: str) -> tuple[nn.Module, dict[str, Tensor]]:
        """The frozen network and the tensors of its file that are no weights of it (`latent_avg`).

        A file of another project brings its sizes along, which must agree with what the config says of them.
        """
        path = self.weights_path(part)
        checkpoint, section = read_checkpoint(path, self.weights_hint), self.config.section(part)
        # Initial weights are drawn and overwritten; a training in whose midst this happens must not notice.
        with torch.random.fork_rng(devices=[]):
            if checkpoint.is_own:
                network = self.untrained(part)
                extra = fill_network(network, section["name"], checkpoint)
            else:
                section.pop("weights")
                loaded = network_in(checkpoint, section.get("name"), section)
                network, extra = loaded.module, loaded.extra
        return freeze(network.to(self.device)), {key: value.to(self.device) for key, value in extra.items()}

    @cached_property
    def generator(self) -> Any:
        """StyleGAN2 generator G."""
        return self._load("generator")[0]

    @cached_property
    def _encoder(self) -> tuple[Any, Tensor]:
        network, extra = self._load("encoder")
        if "latent_avg" not in extra:
            raise WeightsError(f"{displayed(self.weights_path('encoder'))}: has no 'latent_avg'")
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network, extra["latent_avg"]

    @property
    def encoder(self) -> Any:
        """e4e encoder E_img (its output is an offset to `latent_avg`)."""
        return self._encoder[0]

    @property
    def latent_avg(self) -> Tensor:
        """Mean latent code that the encoder's output is added to: (L, D) or (D,)."""
        return self._encoder[1]

    @cached_property
    def teacher(self) -> Any:
        """Attribute classifier C, the source of the distilled semantics."""
        return self._load("teacher")[0]

    @cached_property
    def judge(self) -> Any:
        """Attribute classifier C_eval, which judges edits and is never trained against."""
        return self._load("judge")[0]

    @cached_property
    def identity(self) -> Any:
        """Face recognition network."""
        return self._load("identity")[0]

    def loaded(self) -> dict[str, nn.Module]:
        """The networks that were used so far, by part."""
        ready = {part: self.__dict__[part] for part in PARTS if part in self.__dict__}
        return ready | ({"encoder": self.encoder} if "_encoder" in self.__dict__ else {})

    def forget(self, *parts: str) -> None:
        """Free the networks of these parts; each is loaded again when it is used."""
        for part in parts:
            self.__dict__.pop("_encoder" if part == "encoder" else part, None)

    def fingerprints(self, parts: Sequence[str] = ("generator", "encoder")) -> dict[str, str]:
        """Hash of each named network's weights; of generator and encoder together with the space of their codes."""
        space = "" if self.latent_space is None else f"+{fingerprint(self.latent_space)}"
        codes = ("generator", "encoder")
        for part in parts:
            if part not in self._fingerprints:
                self._fingerprints[part] = fingerprint(getattr(self, part))
        return {part: self._fingerprints[part] + (space if part in codes else "") for part in parts}

    def _arithmetic(self) -> torch.autocast:
        """Context in which generator and encoder compute."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    @cached_property
    def latent_space(self) -> Any:
        """The map between the networks' own codes and the domain's, or None where they are the same."""
        if self.config.get("latent_space") is None:
            return None
        space = NETWORKS.build(self.config.section("latent_space"), style_dim=self.style_dim)
        return freeze(space.to(self.device))

    def encode(self, image: Tensor) -> Tensor:
        """Latent codes (B, L, D) of pictures (B, 3, S, S) in [−1, 1]."""
        with self._arithmetic():
            offset = self.encoder(image.contiguous(memory_format=torch.channels_last))
        latent = offset.to(image.dtype) + self.latent_avg
        return latent if self.latent_space is None else self.latent_space.enter(latent)

    def synthesise(self, latent: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) in [−1, 1] at `image_side` of latent codes (B, L, D); differentiable."""
        if self.synthesis_batch is None or not (torch.is_grad_enabled() and latent.requires_grad):
            return self._synthesise_portion(latent)
        portions = latent.split(self.synthesis_batch)
        return torch.cat([checkpoint(self._synthesise_portion, part, use_reentrant=False) for part in portions])

    def _synthesise_portion(self, latent: Tensor) -> Tensor:
        return self.resized(self.synthesise_full(latent))

    def synthesise_full(self, latent: Tensor) -> Tensor:
        """The same at the generator's own resolution."""
        own = latent if self.latent_space is None else self.latent_space.leave(latent)
        with self._arithmetic():
            picture = self.generator.synthesis(own, recompute_from=self.recompute_from)
        return picture.to(latent.dtype).clamp(-1, 1)

    def resized(self, image: Tensor) -> Tensor:
        """Pictures brought to `image_side` with the domain's rule (the authors' code takes the nearest pixel)."""
        if image.shape[-1] == self.image_side:
            return image
        return F.interpolate(image, size=(self.image_side, self.image_side), mode=self.synthesis_resize)

    def _probabilities(self, classifier: nn.Module, image: Tensor) -> Tensor:
        columns = [self.classifier_outputs.index(name) for name in self.attributes]
        return torch.sigmoid(classifier(image)[:, columns])

    def teacher_probabilities(self, image: Tensor) -> Tensor:
        """C's probabilities (B, A) in the order of `attributes`."""
        return self._probabilities(self.teacher, image)

    def judge_probabilities(self, image: Tensor) -> Tensor:
        """C_eval's probabilities (B, A) in the order of `attributes`."""
        return self._probabilities(self.judge, image)

    def identity_embedding(self, image: Tensor) -> Tensor:
        """Unit-norm face embeddings (B, E)."""
        return self.identity.embedding(image)
