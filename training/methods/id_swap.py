"""ID swap: the encoder E and the mapper M, trained so that the identity of one face meets everything else of another
("Controllable face image editing in a disentanglement way", 2023).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from criteria.adversarial import generator_loss
from criteria.high_frequency import high_frequency
from criteria.identity import identity_loss
from criteria.patches import draw_crops, patches
from criteria.structural_similarity import mixed_distance
from models.domain import Domain
from models.editors.id_swap import IDSwapEditor
from models.editors.stored import build_network
from models.encoders.irse import IRSETrunk
from models.encoders.swap_encoder import SwapEncoder
from models.latent_mapper import LatentMapper
from training.editing import EditorMethod, check_terms
from training.landmark_distance import LandmarkDistance
from training.latent_adversary import (
    ADVERSARIAL,
    PHASE,
    PHASE_TERMS,
    build_discriminator,
    discriminator_losses,
    discriminator_phase,
)
from training.method import Batch, Items, Phase
from training.picture_distance import LPIPS_TRUNK, PictureDistance
from utils.config import ConfigError, as_section
from utils.images import at_side, grid
from utils.paths import resolve
from utils.ranges import Ascending, Betas, Between, Count, FileName, Fraction, Positive, Size, Whole

TERMS = ("pixel", "mixed", "perceptual", "identity_1", "identity_2", "attribute")
LANDMARK = "landmark"
TEACHER = "teacher"
CONSISTENCY = "consistency"
_CHOOSABLE = (*TERMS, LANDMARK, TEACHER, CONSISTENCY, ADVERSARIAL)
_Shares = Annotated[tuple[Annotated[float, Between(0, 1, above=True)], Fraction], Ascending()]


class IDSwapMethod(EditorMethod):
    """Phases `editor` and, with the term `adversarial`, `latent_discriminator`. Batches hold `image`
    (B, 3, S, S): faces A in one half and B in the other.

    With (i, a) = E(·), x1 = G(M(i_A, a_A)) and x2 = G(M(i_A, a_B)), all pictures in [0, 1] and R the domain's identity
    network (which takes 2x − 1), terms are means over the pairs:
      pixel       mean squared difference of x1 and A;
      mixed       share · (1 − MS-SSIM) + (1 − share) · mean |x1 − A|;
      perceptual  distance of features of x1 and A;
      identity_1  1 − cos(R(x1), R(A));
      identity_2  1 − cos(R(h(x2)), R(h(A))) with the high-frequency picture h;
      attribute   distance of features of the same random squares of x2 and B;
      landmark    mean squared difference of the inner landmarks of x2 and B, in pixels of a face of 112 × 112; off
                  unless `terms` name it, as published;
      teacher     cross-entropy of what the domain's teacher says of x2 with what it says of B; off unless `terms` name
                  it. Not published: enlarged squares of a small picture do not tell a network of a smile.
      consistency 1 − cos(i_A, i of x2): E, with its running statistics, finds A again in x2; off unless `terms` name
                  it, and 0 for the first `consistency_after` steps. Not published: no other term asks that two pictures
                  of a person give one vector.
      adversarial whether a latent discriminator takes the codes for mapped ones, as e4e has it; off unless `terms` name
                  it. Not published, but a term of the parent project. The discriminator's terms:
                  `latent_discriminator` and `latent_r1`.
    Gradients flow through the frozen networks to E and M, and to nothing frozen. E sees A and B in two calls, each of
    which updates its running statistics, as published.

    Args:
        encoder, mapper: sections of E and M; sizes that follow from the other or from the domain are left out. Pictures
            of another side than E's are resized.
        trunk: what E's trunk starts from: `random` numbers, as published, or the weights of the domain's `encoder`,
            which already sees all that the generator can show; it must have the same layers and widths.
        terms: which are computed; their weights are the config's `training.loss_weights`.
        latent_discriminator: section of the latent discriminator, where `terms` name `adversarial`.
        learning_rate, betas: of Adam.
        discriminator_learning_rate: of Adam for the latent discriminator.
        share: of MS-SSIM in `mixed`.
        features: in which `perceptual` and `attribute` compare pictures, see `training.picture_distance`.
        lpips_trunk: file of torchvision's AlexNet, where `features` name LPIPS.
        landmarks: file of MobileFaceNet, read where `terms` name `landmark`.
        kernel: side of the window of h's Gaussian; 0: the pictures themselves in place of h.
        crops: squares a step.
        crop_shares: sides of the smallest and of the largest square as shares of the picture's.
        crop_side: to which squares are resized.
        pairs: `random`, or `published`: both halves change roles in odd epochs. With `training.shuffle` off and no
            `training.accumulate`, the pairs are the same in all epochs then.
        consistency_after: steps before the term `consistency` begins: until hybrids show A there is nothing to find.
        freeze_statistics_after: steps after which E's batch normalisation stays as it is, as in the published training,
            where it happens after 200; 0: never.
    Raises:
        ConfigError: an unknown term, one whose network is missing, or a trunk of another shape than the encoder's.
    """

    term_names = (*_CHOOSABLE, *PHASE_TERMS)
    needs = ("image",)

    def __init__(
        self,
        domain: Domain,
        encoder: dict[str, Any],
        mapper: dict[str, Any],
        latent_discriminator: dict[str, Any] | None = None,
        trunk: Literal["random", "encoder"] = "random",
        terms: tuple[str, ...] = TERMS,
        learning_rate: Positive = 1e-5,
        betas: Betas = (0.9, 0.999),
        discriminator_learning_rate: Positive = 2e-5,
        share: Fraction = 0.9,
        features: tuple[str, ...] = ("lpips",),
        lpips_trunk: FileName = LPIPS_TRUNK,
        landmarks: FileName = "pretrained/ffhq/mobilefacenet_model_best.pth.tar",
        kernel: Annotated[int, Between(0, 1001)] = 21,
        crops: Count = 8,
        crop_shares: _Shares = (1 / 8, 1 / 4),
        crop_side: Size = 64,
        pairs: Literal["random", "published"] = "random",
        consistency_after: Whole = 0,
        freeze_statistics_after: Whole = 0,
    ) -> None:
        super().__init__(domain)
        check_terms("id_swap", terms, _CHOOSABLE)
        self.latent_discriminator = build_discriminator(latent_discriminator, terms, domain)
        if kernel % 2 == 0 and kernel:
            raise ConfigError(f"method.kernel: must be odd, not {kernel}")
        self.terms = terms
        encoder = {"input_side": domain.image_side, **encoder}
        self.encoder = build_network(as_section(encoder, "method.encoder"), domain, SwapEncoder)
        sizes = {"identity_dim": self.encoder.identity_dim, "attribute_dim": self.encoder.attribute_dim}
        self.mapper = build_network(as_section(mapper, "method.mapper"), domain, LatentMapper, **sizes)
        if self.mapper.rows not in (1, domain.styles):
            raise ConfigError(f"method.mapper.rows: must be 1 or {domain.styles}, the domain's styles")
        self.parts = tuple(part for part in ("generator", "encoder") if domain.has(part))
        self.sections = {"encoder": encoder, "mapper": mapper}
        if trunk == "encoder":
            _start_from(domain, self.encoder)
        self.distance = PictureDistance(domain, features, resolve(lpips_trunk))
        named = LANDMARK in terms
        self.landmarks = LandmarkDistance.of_file(resolve(landmarks), domain.device) if named else None
        self.learning_rate, self.betas = learning_rate, betas
        self.discriminator_learning_rate = discriminator_learning_rate
        self.share, self.kernel = share, kernel
        self.crops, self.crop_shares, self.crop_side = crops, crop_shares, crop_side
        self.pairs, self.freeze_statistics_after = pairs, freeze_statistics_after
        self.consistency_after = consistency_after
        self._step, self._faces = 0, 1
        self._codes: list[Tensor] = []

    def check_data(self, data: Items) -> None:
        super().check_data(data)
        self._faces = len(data)  # type: ignore[arg-type]

    def phases(self) -> list[Phase]:
        parameters = [*self.mapper.parameters(), *self.encoder.parameters()]
        phases = [Phase("editor", parameters, torch.optim.Adam(parameters, lr=self.learning_rate, betas=self.betas))]
        if self.latent_discriminator is not None:
            phases.append(discriminator_phase(self.latent_discriminator, self.discriminator_learning_rate))
        return phases

    def before_step(self, step: int) -> None:
        self._step = step
        self._codes.clear()
        freeze = self.freeze_statistics_after
        self.encoder.train(not freeze or step < freeze)

    def halves(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """A and B of a batch.

        Raises:
            ConfigError: an odd number of faces, or fewer than two pairs.
        """
        if len(image) % 2 or len(image) < 4:
            raise ConfigError(f"training.batch_size: pairs need an even number of faces, at least 4, not {len(image)}")
        first, second = image.chunk(2)
        odd_epoch = self._step // max(self._faces // len(image), 1) % 2
        return (second, first) if self.pairs == "published" and odd_epoch else (first, second)

    def losses(self, phase: str, batch: Batch) -> dict[str, Tensor]:
        if phase == PHASE:
            return discriminator_losses(self.latent_discriminator, self._codes.pop(0), self.domain)
        a, b = self.halves(batch["image"])
        identity, own = self.encoder(at_side(a, self.encoder.input_side))
        _, other = self.encoder(at_side(b, self.encoder.input_side))
        code = self.mapper.code(torch.cat([identity, identity]), torch.cat([own, other]), self.domain.styles)
        rebuilt, hybrid = self.domain.synthesise(code).chunk(2)
        of_pictures = [name for name in self.terms if name not in (CONSISTENCY, ADVERSARIAL)]
        terms = {name: getattr(self, f"_{name}")(rebuilt, hybrid, a, b) for name in of_pictures}
        if CONSISTENCY in self.terms:
            terms[CONSISTENCY] = self._consistency(hybrid, identity)
        if self.latent_discriminator is not None:
            rows = code[:, : self.mapper.rows]  # those that differ
            self._codes.append(rows.detach())
            terms[ADVERSARIAL] = generator_loss(self.latent_discriminator(rows))
        return terms

    def _pixel(self, rebuilt: Tensor, hybrid: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return (_unit(rebuilt) - _unit(a)).square().mean()

    def _mixed(self, rebuilt: Tensor, hybrid: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return mixed_distance(_unit(rebuilt), _unit(a), self.share)

    def _perceptual(self, rebuilt: Tensor, hybrid: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return self.distance(rebuilt, a)

    def _identity_1(self, rebuilt: Tensor, hybrid: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return self._identity(rebuilt, a)

    def _identity_2(self, rebuilt: Tensor, hybrid: Tensor, a: Tensor, b: Tensor) -> Tensor:
        if not self.kernel:
            return self._identity(hybrid, a)
        return self._identity(*(2 * high_frequency(_unit(image), self.kernel) - 1 for image in (hybrid, a)))

    def _identity(self, image: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            expected = self.domain.identity_embedding(target)
        return identity_loss(self.domain.identity_embedding(image), expected)

    def _attribute(self, rebuilt: Tensor, hybrid: Tensor, a: Tensor, b: Tensor) -> Tensor:
        crops = draw_crops(b.shape[-1], self.crops, self.crop_shares)
        return self.distance(*(patches(image, crops, self.crop_side) for image in (hybrid, b)))

    def _teacher(self, rebuilt: Tensor, hybrid: Tensor, a: Tensor, b: Tensor) -> Tensor:
        with torch.no_grad():
            expected = self.domain.teacher_probabilities(b)
        return F.binary_cross_entropy(self.domain.teacher_probabilities(hybrid), expected)

    def _landmark(self, rebuilt: Tensor, hybrid: Tensor, a: Tensor, b: Tensor) -> Tensor:
        assert self.landmarks is not None
        return self.landmarks(_unit(hybrid), _unit(b))

    def _consistency(self, hybrid: Tensor, identity: Tensor) -> Tensor:
        if self._step < self.consistency_after:
            return hybrid.new_zeros(())
        was_training = self.encoder.training
        self.encoder.eval()  # statistics are those of faces
        found, _ = self.encoder(at_side(hybrid, self.encoder.input_side))
        self.encoder.train(was_training)
        return identity_loss(found, identity)

    def editor(self) -> IDSwapEditor:
        return IDSwapEditor(self.encoder, self.mapper, self.domain.styles)

    @torch.no_grad()
    def _hybrids(self, a: Tensor, b: Tensor) -> Tensor:
        """Pictures with the identities of `a` and all else of `b`."""
        was_training = self.encoder.training, self.mapper.training
        editor = self.editor()
        target = editor.read(a, a)
        picture = self.domain.synthesise(editor.move(editor.prepare(b, target, b), target, target))
        self.encoder.train(was_training[0])
        self.mapper.train(was_training[1])
        return picture

    @torch.no_grad()
    def validate(self, batch: Batch) -> dict[str, float]:
        """Cosine of the hybrid's embedding to those of A and of B and of the rebuilt face to its own; the share of the
        teacher's decisions that are B's; mean absolute difference of the hybrid and B."""
        a, b = batch["image"], batch["image"].roll(1, 0)
        hybrid, rebuilt = self._hybrids(a, b), self._hybrids(a, a)
        of = self.domain.identity_embedding
        decided = [self.domain.teacher_probabilities(image) > 0.5 for image in (hybrid, b)]
        return {
            "identity_a": float((of(hybrid) * of(a)).sum(1).mean()),
            "identity_b": float((of(hybrid) * of(b)).sum(1).mean()),
            "identity_rebuilt": float((of(rebuilt) * of(a)).sum(1).mean()),
            "attributes_b": float((decided[0] == decided[1]).float().mean()),
            "difference_b": float((hybrid - b).abs().mean()),
        }

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        """The published grid: identities in the first row, attributes in the first column, hybrids of all pairs."""
        faces = batch["image"][:8]
        rows = [torch.cat([torch.ones_like(faces[:1]), faces])]
        rows += [torch.cat([face[None], self._hybrids(faces, face.expand_as(faces))]) for face in faces]
        return grid(torch.cat(rows), len(faces) + 1)


def _start_from(domain: Domain, encoder: SwapEncoder) -> None:
    """Copy the trunk of the domain's encoder."""
    source = domain.encoder
    if not isinstance(source, IRSETrunk):
        raise ConfigError(f"method.trunk: the encoder of domain '{domain.name}' has no IR-SE trunk")
    for name in ("layers", "widths"):
        ours, its = getattr(encoder, name), getattr(source, name)
        if ours != its:
            raise ConfigError(
                f"method.encoder.{name}: must be {list(its)}, those of the domain's encoder, not {list(ours)}"
            )
    encoder.input_layer.load_state_dict(source.input_layer.state_dict())
    encoder.body.load_state_dict(source.body.state_dict())


def _unit(image: Tensor) -> Tensor:
    """Pictures in [−1, 1] as pictures in [0, 1]."""
    return (image + 1) / 2
