"""The rows of the benchmark: the same work by the published formulation and by ours, on the same weights and inputs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from criteria.latent_distance import latent_distance
from criteria.likelihood import negative_log_likelihood
from models.domain import Domain
from models.editing.pipeline import EditingPipeline
from models.editing.records import Settings
from models.editing.requests.attributes import AttributeRequest
from models.editing.run import EditRun
from models.editing.studio import Studio
from models.editors.loading import load_editor
from models.editors.sdflow import EDITING_TOLERANCE, SDFlowEditor
from models.editors.targets import Flip
from models.encoders.e4e import e4e_sizes
from models.protocols import Encoder
from models.semantic_encoder import semantic_encoder_sizes
from models.stylegan2.generator import checked_channels
from scripts.benchmarks import flops
from scripts.benchmarks.stand_ins import StandIns
from scripts.published.editing import PublishedDomain, published_pipeline
from scripts.published.encoders import E4eEncoder, SemanticEncoder
from scripts.published.flow import Flow
from scripts.published.generator import Generator
from scripts.published.training import TrainingStep
from training.logging import RunLog
from training.loop import Trainer
from training.methods import METHODS
from training.settings import TrainingSettings
from utils.config import as_section
from utils.photos import Photo
from utils.provenance import save_marked
from utils.weights import freeze, load_strict, load_weights

PUBLISHED, FLOAT32, BFLOAT16 = "published", "float32", "bfloat16"  # variants; the last two are ours
GRADIENT_PSNR = 30.0  # no one sees a gradient; dB
Outputs = dict[str, Tensor]


@dataclass(frozen=True)
class Setting:
    """Where and on which networks a row is measured.

    Attributes:
        folder: of the networks' files, see `StandIns.write`.
        scratch: folder for what the commands write.
    """

    networks: StandIns
    folder: Path
    scratch: Path
    device: torch.device

    def randn(self, *shape: int, seed: int = 1) -> Tensor:
        """Normal numbers, the same on all devices."""
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(self.device)

    def uniform(self, *shape: int, seed: int = 2) -> Tensor:
        """Uniform numbers in [0, 1], the same on all devices."""
        return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).to(self.device)

    def domain(self, published: bool = False) -> Domain:
        """The frozen networks, read as the commands read them."""
        kind = PublishedDomain if published else Domain
        return kind(self.networks.section(self.folder), self.device)

    @property
    def semantics(self) -> int:
        return len(self.networks.domain["attributes"])

    @property
    def flow_widths(self) -> list[int]:
        hidden = self.networks.method["flow"].get("hidden", [512] * 5)
        return [self.networks.style_dim, *hidden, self.networks.style_dim]


@dataclass
class Work:
    """A piece of work in one variant.

    Attributes:
        run: does it once.
        outputs: what the last run gave, for comparison.
        flop: of the last run, see `scripts/benchmarks/flops.py`.
        units: photos, faces or steps that one run is made of: times are given per unit.
    """

    run: Callable[[], Any]
    outputs: Callable[[], Outputs]
    flop: Callable[[], float]
    units: int = 1


Build = Callable[[Setting, str], Work]  # makes the work of a row in a variant


@dataclass(frozen=True)
class Row:
    """A line of the benchmark's table.

    Attributes:
        goals: variants of ours, with published time / ours that is to be reached where there is such a goal.
        tolerance: largest relative error ‖ours − published‖ / ‖published‖ of each output in float32.
        psnr: least PSNR of each output in bfloat16 against the published one, in dB; of gradients `GRADIENT_PSNR`.
    """

    name: str
    title: str
    build: Build
    goals: Mapping[str, float | None]
    tolerance: float
    psnr: float = 40.0

    @property
    def variants(self) -> list[str]:
        """What is measured: the published formulation first."""
        return [PUBLISHED, *self.goals]


@dataclass
class _Kept:
    """What the last run gave."""

    outputs: Outputs = field(default_factory=dict)

    def read(self) -> Outputs:
        return self.outputs


def _gradients(*parameters: Tensor) -> Tensor:
    return torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])


def synthesis(
    setting: Setting, variant: str, side: int = 0, batch: int = 1, gradient: bool = False, resolution: int = 0
) -> Work:
    """Pictures of latent codes, with the gradient of a weighted sum of their pixels to the codes where it is asked for.

    Args:
        side: index of the resolution in the setting's sides.
        resolution: another one.
    """
    resolution = resolution or setting.networks.sides[side]
    generator = setting.networks.generator(resolution).to(setting.device)
    latent = setting.randn(batch, generator.latent_count, setting.networks.style_dim)
    direction = setting.randn(batch, 3, resolution, resolution, seed=3)
    synthesise: Callable[[Tensor], Tensor] = generator.synthesis
    if variant == PUBLISHED:
        synthesise = Generator.with_weights(generator.state_dict()).synthesis
    elif variant == BFLOAT16:
        synthesise = _in_bfloat16(generator.synthesis)
    channels = checked_channels(resolution, setting.networks.domain["generator"].get("channels"), 2)
    kept = _Kept()

    def run() -> None:
        if not gradient:
            with torch.no_grad():
                kept.outputs = {"picture": synthesise(latent)}
            return
        w = latent.clone().requires_grad_()
        picture = synthesise(w)
        picture.backward(direction)
        assert w.grad is not None
        kept.outputs = {"picture": picture.detach(), "gradient": w.grad}

    passes = 2 if gradient else 1  # the weights are frozen: backward is one product for each of forward's
    return Work(run, kept.read, lambda: passes * flops.synthesis(channels, setting.networks.style_dim, batch))


def _in_bfloat16(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """As a domain of that precision calls it."""

    def low(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            return function(x).float()

    return low


def encoding(setting: Setting, variant: str, batch: int = 4) -> Work:
    """Latent codes of pictures."""
    domain = setting.domain(published=variant == PUBLISHED)
    if variant == BFLOAT16:
        domain.precision = BFLOAT16
    side = domain.image_side
    image = setting.uniform(batch, 3, side, side) * 2 - 1
    kept = _Kept()

    @torch.no_grad()
    def run() -> None:
        kept.outputs = {"codes": domain.encode(image)}

    return Work(run, kept.read, lambda: _encoder_flop(domain.encoder, batch, side))


def _encoder_flop(encoder: Encoder, batch: int, side: int) -> int:
    sizes = e4e_sizes({key: tuple(value.shape) for key, value in encoder.state_dict().items()})
    with torch.device("meta"):
        return flops.network(E4eEncoder(**sizes).eval(), batch, 3, side, side)


def _semantic_encoder_flop(encoder: torch.nn.Module, batch: int, side: int) -> int:
    sizes = semantic_encoder_sizes({key: tuple(value.shape) for key, value in encoder.state_dict().items()})
    with torch.device("meta"):
        network = SemanticEncoder(sizes["attributes"], sizes["backbone"], sizes["head"])
        return flops.network(network.eval(), batch, 3, side, side)


def _flow(setting: Setting, variant: str) -> Any:
    own = setting.networks.flow().to(setting.device)
    return Flow.with_weights(own.state_dict()).to(setting.device) if variant == PUBLISHED else own


def flow_training(setting: Setting, variant: str, batch: int = 8) -> Work:
    """w → z with density, z → w_e with other semantics, and the gradient of L_nll + L_reg to weights and semantics."""
    flow = _flow(setting, variant).train()
    rows, semantics = setting.networks.styles, setting.uniform(batch, setting.semantics).requires_grad_()
    w = setting.randn(batch, rows, setting.networks.style_dim)
    wanted = setting.uniform(batch, setting.semantics, seed=4)
    kept = _Kept()
    evaluations = [0, 0]

    def run() -> None:
        for value in (semantics, *flow.parameters()):
            value.grad = None
        torch.manual_seed(5)  # of the probe
        z, log_det = flow.forward_and_log_det(w, semantics)
        evaluations[0] = flow.evaluations
        edited = flow.inverse(z, wanted)
        evaluations[1] = flow.evaluations
        (negative_log_likelihood(z, log_det) + latent_distance(edited, w)).backward()
        kept.outputs = {"z": z.detach(), "w_e": edited.detach(), "gradient": _gradients(semantics, *flow.parameters())}

    return Work(run, kept.read, lambda: _flow_training_flop(setting, batch, *evaluations))


def _flow_training_flop(setting: Setting, batch: int, with_density: float, without: float) -> float:
    """Forward and, twice as dear, backward; a tangent costs as much as a value."""
    each = flops.velocity(setting.flow_widths, setting.semantics, batch, setting.networks.styles)
    return 3 * each * (2 * with_density + without)


def flow_editing(setting: Setting, variant: str, batch: int = 8, tolerance: float | None = None) -> Work:
    """w → z → w_e without density.

    Args:
        tolerance: of both solvers; by default the published 1e-5, and what an editor is loaded with.
    """
    flow: Any = freeze(_flow(setting, variant))
    if tolerance is None:
        tolerance = 1e-5 if variant == PUBLISHED else min(flow.tolerance, EDITING_TOLERANCE)
    if isinstance(flow, Flow):
        flow.chain[1].tolerance = tolerance
    else:
        flow.tolerance = tolerance
    rows, semantics = setting.networks.styles, setting.uniform(batch, setting.semantics)
    w = setting.randn(batch, rows, setting.networks.style_dim)
    wanted = setting.uniform(batch, setting.semantics, seed=4)
    kept = _Kept()
    evaluations = [0, 0]

    @torch.no_grad()
    def run() -> None:
        z = flow(w, semantics)
        evaluations[0] = flow.evaluations
        kept.outputs = {"w_e": flow.inverse(z, wanted)}
        evaluations[1] = flow.evaluations

    each = flops.velocity(setting.flow_widths, setting.semantics, batch, rows)
    return Work(run, kept.read, lambda: sum(evaluations) * each)


class _Batch(Dataset):
    """The one batch that a training step is measured on."""

    def __init__(self, setting: Setting, domain: Domain, count: int) -> None:
        side = domain.image_side
        self.items = {
            "image": setting.uniform(count, 3, side, side) * 2 - 1,
            "latent": setting.randn(count, setting.networks.styles, setting.networks.style_dim),
            "teacher": setting.uniform(count, setting.semantics, seed=4),
        }

    def __len__(self) -> int:
        return len(self.items["image"])

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: values[index] for name, values in self.items.items()}


def training_step(setting: Setting, variant: str) -> Work:
    """A step of SDFlow's training as train.py takes it: losses, gradients, optimiser, running statistics."""
    domain, batch = setting.domain(published=variant == PUBLISHED), setting.networks.training_batch
    data = _Batch(setting, domain, batch)
    method: Any = METHODS.build(as_section(dict(setting.networks.method), "method"), domain=domain)
    state, _ = load_weights(setting.folder / "editor.safetensors")
    load_strict(method, state)
    evaluations = [0.0, 0.0]
    if variant == PUBLISHED:
        flow, encoder = Flow.with_weights(method.flow.state_dict()), method.semantic_encoder.state_dict()
        networks = flow.to(setting.device), SemanticEncoder.with_weights(encoder).to(setting.device)
        generator: Any = domain.generator  # the published one
        resize = domain.image_side, domain.settings.synthesis_resize
        step = TrainingStep(generator, *networks, *resize, method.learning_rate, method.betas)
        take: Callable[[], Any] = partial(step.step, data.items)
        learning = {"flow": networks[0], "semantic encoder": networks[1]}
    else:
        if variant == BFLOAT16:
            domain.precision = BFLOAT16
        folder = Path(tempfile.mkdtemp(dir=setting.scratch))
        settings = TrainingSettings(steps=1, batch_size=batch)
        trainer = Trainer(method, data, settings, folder, {}, setting.device, quiet=True)
        log = RunLog(folder, 1, 0, batch, every=1, quiet=True)
        take = partial(trainer.train_step, data.items, log)
        learning = {"flow": method.flow, "semantic encoder": method.semantic_encoder}

    def run() -> None:
        torch.manual_seed(5)  # of probe and wanted attributes
        take()

    def outputs() -> Outputs:
        return {f"gradient of {name}": _gradients(*network.parameters()) for name, network in learning.items()}

    def flop() -> float:
        evaluations[1] = method.flow.evaluations
        evaluations[0] = method.status()["evaluations"] - evaluations[1]
        resolution, side = setting.networks.sides[0], domain.image_side
        channels = checked_channels(resolution, setting.networks.domain["generator"].get("channels"), 2)
        seen = _semantic_encoder_flop(method.semantic_encoder, batch, side)
        drawn = flops.synthesis(channels, setting.networks.style_dim, batch)
        return 2 * 3 * seen + 2 * drawn + _flow_training_flop(setting, batch, *evaluations)

    return Work(run, outputs, flop)


def editing(setting: Setting, variant: str, photos: int = 2) -> Work:
    """edit.py on aligned photos, one flipped attribute, once everything is loaded: reading, editing, writing."""
    editor, domain, metadata = load_editor(setting.folder / "editor.safetensors", setting.device)
    assert isinstance(editor, SDFlowEditor)
    batch_size = Settings().batch_size
    pipeline = EditingPipeline(domain, editor)
    if variant == PUBLISHED:
        pipeline, batch_size = published_pipeline(domain, editor), 1
    elif variant == BFLOAT16:
        domain.precision = BFLOAT16
    folder = Path(tempfile.mkdtemp(dir=setting.scratch))
    given = [_aligned_photo(folder / f"{index}.png", domain.image_side, index) for index in range(photos)]
    request = AttributeRequest.of({editor.attributes[0]: Flip()})
    settings = Settings(aligned=True, paste="difference", overwrite=True, batch_size=batch_size)

    def run() -> None:
        edits = EditRun(Studio(pipeline, metadata), [request], folder / "edits", settings)
        jobs = edits.jobs(given)
        for _ in edits.finished(jobs):
            pass
        failed = [entry["reason"] for job in jobs for entry in job.entries() if entry["status"] != "edited"]
        if failed:
            raise RuntimeError(f"edit.py failed: {failed[0]}")

    def outputs() -> Outputs:
        labels = ("inversion", request.label)
        pictures = [folder / f"edits/faces/{photo.name.stem}--{label}.png" for photo in given for label in labels]
        values = [np.asarray(Image.open(path), dtype=np.float32) / 127.5 - 1 for path in pictures]
        return {"pictures": torch.from_numpy(np.stack(values))}

    return Work(run, outputs, lambda: _editing_flop(setting, domain, editor, photos), photos)


def _aligned_photo(path: Path, side: int, seed: int) -> Photo:
    """A smooth picture that says of itself that it is aligned, as edit.py --save-aligned writes them."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    save_marked(path, picture, "aligned, not edited", {"aligned": True})
    return Photo(path, Path(path.name))


def _editing_flop(setting: Setting, domain: Domain, editor: SDFlowEditor, photos: int) -> float:
    """One inversion and one edit a photo: e4e once, the generator twice, the semantic encoder and identity thrice."""
    side = domain.image_side
    channels = checked_channels(setting.networks.sides[0], setting.networks.domain["generator"].get("channels"), 2)
    with torch.device("meta"):
        identity: Any = domain.untrained("identity")
    seen = flops.network(identity.eval(), photos, 3, identity.input_side, identity.input_side)
    seen += _semantic_encoder_flop(editor.semantic_encoder, photos, side)
    solves = 2 * editor.flow.evaluations  # of the way back, which is known: the way there takes about as many
    moved = solves * flops.velocity(setting.flow_widths, setting.semantics, photos, setting.networks.styles)
    drawn = flops.synthesis(channels, setting.networks.style_dim, photos)
    return _encoder_flop(domain.encoder, photos, side) + 2 * drawn + 3 * seen + moved


_SYNTHESIS = Row("synthesis", "synthesis 1024², one face", synthesis, {FLOAT32: 3.5, BFLOAT16: 7.0}, tolerance=1e-4)
_EDITING = Row("flow-editing", "w → z → w_e, batch 8", flow_editing, {FLOAT32: 4.0}, tolerance=1e-3)
ROWS = (
    _SYNTHESIS,
    Row(
        "synthesis-gradient",
        "synthesis 1024² and gradient to w",
        partial(synthesis, gradient=True),
        {FLOAT32: 5.0, BFLOAT16: 9.0},
        tolerance=1e-3,
    ),
    Row(
        "synthesis-256",
        "synthesis 256², batch 4",
        partial(synthesis, side=1, batch=4),
        {FLOAT32: 3.5, BFLOAT16: 5.0},
        tolerance=1e-4,
    ),
    Row(
        "synthesis-256-gradient",
        "synthesis 256², batch 4, and gradient",
        partial(synthesis, side=1, batch=4, gradient=True),
        {FLOAT32: 5.0, BFLOAT16: 8.0},
        tolerance=1e-3,
    ),
    Row("encoding", "e4e encoding, batch 4", encoding, {FLOAT32: 1.5, BFLOAT16: 3.0}, tolerance=1e-4),
    Row("flow-training", "flow's share of a training step, batch 8", flow_training, {FLOAT32: 5.0}, tolerance=1e-2),
    _EDITING,
    Row(
        "training-step",
        "training step of SDFlow, batch 2",
        training_step,
        {FLOAT32: 4.0, BFLOAT16: 6.0},
        tolerance=2e-2,
    ),
    Row("editing", "edit.py per aligned photo", editing, {FLOAT32: 3.0, BFLOAT16: 6.0}, tolerance=2e-2),
)


@dataclass(frozen=True)
class Series:
    """How the cost grows: one panel of the figure.

    Attributes:
        quantity: what grows.
        lines: label → (value, row) pairs.
    """

    quantity: str
    lines: Mapping[str, Sequence[tuple[float, Row]]]


def _points(row: Row, argument: str, values: Sequence[float], **fixed: Any) -> list[tuple[float, Row]]:
    """The row with an argument of its work at each value, and no goals."""
    return [
        (
            value,
            replace(
                row,
                name=f"{row.name} {argument}={value:g}",
                build=partial(row.build, **{argument: value}, **fixed),
                goals=dict.fromkeys(row.goals),
            ),
        )
        for value in values
    ]


def growth(networks: StandIns) -> list[Series]:
    """Cost against batch, resolution and the solver's tolerance."""
    full, low = networks.sides
    resolutions = [8 << step for step in range(full.bit_length() - 3)][-5:]
    # both solvers err as much as they are allowed to: only the published tolerance is one to compare results at
    loose = replace(_EDITING, tolerance=float("inf"))
    with_gradient = replace(_SYNTHESIS, name="synthesis-gradient", tolerance=1e-3)
    return [
        Series(
            "batch",
            {
                f"synthesis {low}²": _points(_SYNTHESIS, "batch", [1, 2, 4, 8], side=1),
                "w → z → w_e": _points(_EDITING, "batch", [1, 2, 4, 8, 16]),
            },
        ),
        Series(
            "resolution",
            {
                "synthesis": _points(_SYNTHESIS, "resolution", resolutions),
                "with gradient": _points(with_gradient, "resolution", resolutions, gradient=True),
            },
        ),
        Series("tolerance", {"w → z → w_e": _points(loose, "tolerance", [1e-2, 1e-3, 1e-4, 1e-5, 1e-6])}),
    ]
