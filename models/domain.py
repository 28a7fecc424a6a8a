"""A face domain: everything that is frozen for one kind of face.

Built from a file of `configs/domains/`; each network is loaded when it is first used, so that a command needs only the
weight files of the networks that it calls.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar, get_args, overload

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from models import NETWORKS, protocols
from models.weight_files import fill_network, network_in
from utils.celeba import CELEBA_ATTRIBUTES
from utils.config import ConfigError, Section, Unfit, check_arguments, convert, load_config
from utils.options import Precision
from utils.paths import displayed, resolve
from utils.ranges import Count, Distinct, FileName, Long, Positive, Size, Text
from utils.weight_files.formats import read_checkpoint
from utils.weights import WeightsError, fingerprint, freeze

_MEAN = "latent_avg"
_MEAN_SAMPLES = 16_384  # the standard error is 1/128 of the codes' spread
_MEAN_PORTION = 4096  # z that are mapped at once
Network = TypeVar("Network", bound=protocols.Network)


@dataclass(frozen=True)
class DomainSettings:
    """What a domain's config says beside its networks.

    Args:
        attributes: names of the attribute values, in the order of their columns.
        image_side: side of the images that encoder and classifiers take.
        aligner: section of the aligner, see `models.editing.alignment.ALIGNERS`.
        classifier_outputs: names of the outputs of teacher and judge, or "celeba" for CelebA's 40; by default
            `attributes`.
        synthesis_resize: interpolation mode from the generator's side to `image_side`.
        weights_hint: how to get a missing weight file.
        reconstruction_limit: distance of a face and its inversion above which the face is taken for none of this
            domain.
        foreign_face_hint: what to tell the user about such a face.
        precision: of generator and encoder.
        recompute_from: where gradients pass through the generator, levels of this side and above are computed again
            in the backward pass, which saves memory.
        synthesis_batch: the same for portions of this many faces.
        latent_space: section of a map between the codes of generator and encoder and those of the domain.
    """

    name: Text
    attributes: Annotated[tuple[Text, ...], Long(1, 1000), Distinct()]
    image_side: Size
    aligner: dict[str, Any] = field(default_factory=lambda: {"name": "resize"})
    classifier_outputs: Literal["celeba"] | Annotated[tuple[Text, ...], Distinct()] | None = None
    synthesis_resize: Literal["nearest", "nearest-exact", "bilinear", "bicubic", "area"] = "nearest"
    weights_hint: str = ""
    reconstruction_limit: Positive | None = None
    foreign_face_hint: str = ""
    precision: Precision = "float32"
    recompute_from: Size | None = None
    synthesis_batch: Count | None = None
    latent_space: dict[str, Any] | None = None

    @classmethod
    def from_section(cls, section: Section, parts: Sequence[str]) -> DomainSettings:
        """Settings of a domain's section, in which `parts` are the sections of its networks.

        Raises:
            ConfigError: unknown or missing key, wrong type or impossible value.
        """
        settings = cls(**check_arguments(section, cls, what="domain", others=parts))
        unknown = [name for name in settings.attributes if name not in settings.outputs]
        if unknown:
            raise ConfigError(f"{section.where('attributes')}: the classifier has no output '{unknown[0]}'")
        return settings

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs of teacher and judge."""
        if self.classifier_outputs is None:
            return self.attributes
        return CELEBA_ATTRIBUTES if self.classifier_outputs == "celeba" else self.classifier_outputs


class Part(Generic[Network]):
    """A frozen network of a domain, loaded when it is first used and kept until `Domain.forget`.

    Args:
        channels_last: memory format of its weights.
    """

    def __init__(self, channels_last: bool = False) -> None:
        self.channels_last = channels_last

    @property
    def interface(self) -> Any:
        """The protocol that the network has: P of `Part[P]`."""
        return get_args(self.__orig_class__)[0]  # type: ignore[attr-defined]

    def __set_name__(self, owner: type[Domain], name: str) -> None:
        self.name = name
        owner.parts = (*owner.parts, name)

    @overload
    def __get__(self, domain: None, owner: type) -> Part[Network]: ...

    @overload
    def __get__(self, domain: Domain, owner: type) -> Network: ...

    def __get__(self, domain: Domain | None, owner: type) -> Any:
        if domain is None:
            return self
        network, extra = domain._load(self.name)
        if self.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        domain.__dict__[self.name], domain._extra[self.name] = network, extra  # later uses do not come here
        return network


class Domain:
    """Frozen networks for one kind of face, with the sizes they share.

    Args:
        config: the domain's section: the keys of `DomainSettings`, and for each part a section with `name`, the
            network's own arguments and `weights`.
        device: where the networks live.
    Attributes:
        parts: names of the networks that follow.
        generator: G, a StyleGAN2 generator.
        encoder: E_img, whose output is an offset to `latent_avg`.
        teacher: attribute classifier C, from which semantics are distilled.
        judge: attribute classifier C_eval, which judges edits and is never trained against.
        identity: face recognition network.
        parser: face parser: the class of each pixel.
    Raises:
        ConfigError: unknown or missing key, wrong type or impossible value.
    """

    parts: ClassVar[tuple[str, ...]] = ()
    generator = Part[protocols.Generator]()
    encoder = Part[protocols.Encoder](channels_last=True)
    teacher = Part[protocols.Classifier](channels_last=True)
    judge = Part[protocols.Classifier]()
    identity = Part[protocols.RecognitionNetwork](channels_last=True)
    parser = Part[protocols.FaceParser](channels_last=True)

    def __init__(self, config: Section, device: torch.device | str = "cpu") -> None:
        settings = DomainSettings.from_section(config, self.parts)
        self.config, self.settings = config, settings
        self.device = torch.device(device)
        self.name = settings.name
        self.attributes = settings.attributes
        self.image_side = settings.image_side
        self.classifier_outputs = settings.outputs
        self.aligner = settings.aligner
        self.reconstruction_limit = settings.reconstruction_limit
        self.foreign_face_hint = settings.foreign_face_hint
        self.precision: str = settings.precision
        self._extra: dict[str, dict[str, Tensor]] = {}  # tensors beside the weights, by part
        self._fingerprints: dict[str, str] = {}  # by part; weights do not change

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
        """Path of a part's weight file, whether or not the file exists.

        Raises:
            ConfigError: the part has no section, or no `weights`.
        """
        section = self._section(part)
        try:
            return resolve(convert(section.get("weights"), FileName))
        except (Unfit, ValueError) as error:
            raise ConfigError(f"{section.where('weights')}: {error} (the weight file of the {part})") from None

    def has(self, part: str) -> bool:
        """Whether the domain's config names a network for the part; a domain can do without those that nothing uses."""
        return part in self.config

    def _section(self, part: str) -> Section:
        """The part's section of the config.

        Raises:
            ConfigError: there is none.
        """
        if not self.has(part):
            raise ConfigError(
                f"{self.config.where(part)}: this section is missing: domain '{self.name}' has no {part}; name its "
                "network and its weight file there"
            )
        return self.config.section(part)

    def untrained(self, part: str) -> nn.Module:
        """The network of a part with initial weights, to train that part."""
        section = self._section(part)
        section.pop("weights", None)
        network: nn.Module = self._fitting(part, NETWORKS.build(section))
        return network

    def _fitting(self, part: str, network: nn.Module) -> nn.Module:
        """The network, if it can be this part.

        Raises:
            ConfigError: it is of another kind.
        """
        section, description = self.config.section(part), getattr(type(self), part)
        fits: bool = isinstance(network, description.interface)
        if not fits:
            raise ConfigError(f"{section.where('name')}: '{section['name']}' cannot be the domain's {part}")
        return network

    def from_weights(self, part: str, path: Path) -> tuple[nn.Module, dict[str, Any]]:
        """The network of a part with the weights of a file of any known format, and the metadata of the file, which
        are empty unless this project wrote it.

        Raises:
            WeightsError: the file is missing or does not fit.
        """
        network, checkpoint = self.untrained(part), read_checkpoint(path)
        fill_network(network, self.config.section(part)["name"], checkpoint)
        return network, checkpoint.metadata

    def _load(self, part: str) -> tuple[nn.Module, dict[str, Tensor]]:
        """The frozen network, and the tensors of its file that are not its weights (`latent_avg`).

        The sizes in a file of another project must agree with those of the config.
        """
        path = self.weights_path(part)
        section = self.config.section(part)
        try:
            checkpoint = read_checkpoint(path, self.settings.weights_hint)
        except WeightsError as error:
            if path.exists():
                raise
            raise WeightsError(f"{error}; the key {section.key('weights')} names its place") from None
        # Initial weights are drawn and overwritten: the random numbers of a training in progress must not change.
        with torch.random.fork_rng(devices=[]):
            if checkpoint.is_own:
                network = self.untrained(part)
                extra = fill_network(network, section["name"], checkpoint)
            else:
                section.pop("weights")
                loaded = network_in(checkpoint, section.get("name"), section)
                network, extra = self._fitting(part, loaded.module), loaded.extra
        self._check_sizes(section, network)
        _check_mean(path, extra.get(_MEAN), _code_size(network))
        outputs = getattr(network, "attribute_count", len(self.classifier_outputs))
        if outputs != len(self.classifier_outputs):
            raise ConfigError(
                f"{section.where()}: has {outputs} outputs for attributes, but the domain's classifier_outputs (by "
                f"default its attributes) are {len(self.classifier_outputs)}"
            )
        return freeze(network.to(self.device)), {key: value.to(self.device) for key, value in extra.items()}

    def _check_sizes(self, section: Section, network: nn.Module) -> None:
        """Check that a network fits the domain's images, and the other of generator and encoder, if that is loaded.

        Raises:
            ConfigError: it does not.
        """
        if isinstance(network, protocols.Encoder) and not network.takes(self.image_side):
            raise ConfigError(
                f"{self.config.where('image_side')}: is {self.image_side}, but the encoder is made for images of "
                f"another side ({section.key('input_size')})"
            )
        sizes = [_code_size(one) for one in (network, *self.loaded().values())]
        if len({size for size in sizes if size}) > 1:
            raise ConfigError(f"{section.where()}: codes of generator and encoder differ in size: {sizes[0]} here")

    @property
    def latent_avg(self) -> Tensor:
        """Mean latent code, to which the encoder's output is added: (L, D) or (D,).

        Where the encoder's file has none, it is the generator's: that of its file, or estimated.

        Raises:
            WeightsError: it cannot be estimated.
        """
        _ = self.encoder  # loads the file of both
        extra = self._extra["encoder"]
        if _MEAN not in extra:
            extra[_MEAN] = self._mean_of_generator()
        return extra[_MEAN]

    def _mean_of_generator(self) -> Tensor:
        generator, path = self.generator, displayed(self.weights_path("encoder"))
        stored = self._extra["generator"].get(_MEAN, getattr(generator, "w_avg", None))
        if stored is not None:
            how, mean = "the generator's is used", stored
        else:
            how = f"it was estimated as the mean of the generator's mapping over {_MEAN_SAMPLES:,} z"
            try:
                mean = self._estimated_mean()
            except ValueError as error:  # a conditional one
                raise WeightsError(f"{path}: has no '{_MEAN}', and it cannot be estimated: {error}") from None
        # Python prints a warning that no program handles to the standard error stream, as it is.
        logging.getLogger(__name__).warning("%s: has no '%s' (mean latent code); %s", path, _MEAN, how)
        return mean

    @torch.no_grad()
    def _estimated_mean(self) -> Tensor:
        """Mean of w (D,), or of codes (L, D), of fixed z."""
        random = torch.Generator().manual_seed(0)
        shape = (_MEAN_PORTION, *self.generator.z_shape)
        portions = (torch.randn(shape, generator=random) for _ in range(_MEAN_SAMPLES // _MEAN_PORTION))
        return torch.stack([self.generator.mapping(z.to(self.device)).mean(0) for z in portions]).mean(0)

    def loaded(self) -> dict[str, protocols.Network]:
        """The networks that have been used so far, by part."""
        return {part: self.__dict__[part] for part in self.parts if part in self.__dict__}

    def forget(self, *parts: str) -> None:
        """Free the networks of these parts; each is loaded again when it is used."""
        for part in parts:
            self.__dict__.pop(part, None)

    def fingerprints(self, parts: Sequence[str] = ("generator", "encoder")) -> dict[str, str]:
        """Hash of the weights of each part; for generator and encoder followed by that of `latent_space`, if any."""
        latent_space: Any = self.latent_space
        space = "" if latent_space is None else f"+{fingerprint(latent_space)}"
        codes = ("generator", "encoder")
        for part in parts:
            if part not in self._fingerprints:
                self._fingerprints[part] = fingerprint(getattr(self, part))
        return {part: self._fingerprints[part] + (space if part in codes else "") for part in parts}

    def _arithmetic(self) -> torch.autocast:
        """Context of the generator's and the encoder's precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    @cached_property
    def latent_space(self) -> protocols.LatentSpace | None:
        """The map between the codes of generator and encoder and those of the domain; None where they are the same."""
        if self.settings.latent_space is None:
            return None
        section = self.config.section("latent_space")
        space: nn.Module = NETWORKS.build(section, style_dim=self.style_dim)
        frozen = freeze(space.to(self.device))
        if not isinstance(frozen, protocols.LatentSpace):
            raise ConfigError(f"{section.where('name')}: '{section['name']}' is no map between latent spaces")
        return frozen

    def encode(self, image: Tensor) -> Tensor:
        """Latent codes (B, L, D) of images (B, 3, S, S) in [−1, 1]."""
        with self._arithmetic():
            offset = self.encoder(image.contiguous(memory_format=torch.channels_last))
        latent = offset.to(image.dtype) + self.latent_avg
        return latent if self.latent_space is None else self.latent_space.enter(latent)

    def synthesise(self, latent: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [−1, 1], S = `image_side`, of latent codes (B, L, D); differentiable."""
        size = self.settings.synthesis_batch
        if size is None or not (torch.is_grad_enabled() and latent.requires_grad):
            return self._synthesise_portion(latent)
        portions = latent.split(size)
        return torch.cat([checkpoint(self._synthesise_portion, part, use_reentrant=False) for part in portions])

    def _synthesise_portion(self, latent: Tensor) -> Tensor:
        return self.resized(self.synthesise_full(latent))

    def synthesise_full(self, latent: Tensor) -> Tensor:
        """Images in [−1, 1] at the generator's own side."""
        own = latent if self.latent_space is None else self.latent_space.leave(latent)
        with self._arithmetic():
            image = self.generator.synthesis(own, recompute_from=self.settings.recompute_from)
        return image.to(latent.dtype).clamp(-1, 1)

    def resized(self, image: Tensor) -> Tensor:
        """Images resized to `image_side` as `synthesis_resize` says (the authors' code takes the nearest pixel)."""
        if image.shape[-1] == self.image_side:
            return image
        return F.interpolate(image, size=(self.image_side, self.image_side), mode=self.settings.synthesis_resize)

    def _probabilities(self, classifier: protocols.Classifier, image: Tensor) -> Tensor:
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

    def parser_logits(self, image: Tensor) -> Tensor:
        """The parser's logits (B, 19, S, S) of images (B, 3, S, S) in [−1, 1]; differentiable."""
        return self.parser(image.contiguous(memory_format=torch.channels_last))

    @torch.no_grad()
    def parse(self, image: Tensor) -> Tensor:
        """Masks (B, S, S) int64 of images (B, 3, S, S): the class of each pixel, see `models.parsing.palette`."""
        return self.parser_logits(image).argmax(1)


def _code_size(network: object) -> tuple[int, int] | None:
    """Styles and width of a generator's or an encoder's codes; None of other networks."""
    if isinstance(network, protocols.Generator):
        return network.latent_count, network.style_dim
    return (network.style_count, network.style_dim) if isinstance(network, protocols.Encoder) else None


def _check_mean(path: Path, mean: Tensor | None, size: tuple[int, int] | None) -> None:
    """Check that a file's mean code, if it has one, can be added to its codes (L, D).

    Raises:
        WeightsError: it cannot.
    """
    if mean is None or size is None:
        return
    if tuple(mean.shape) not in (size, size[1:], (1, *size), (1, *size[1:])):
        raise WeightsError(
            f"{displayed(path)}: its '{_MEAN}' (mean latent code) has the shape {tuple(mean.shape)}; "
            f"{size} or {size[1:]} fit its codes"
        )


PARTS = Domain.parts
