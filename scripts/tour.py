# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From a drawn face to the paper's curves
#
# SDFlow changes one attribute of a face and leaves the rest as it is. This notebook edits a face, looks at the parts
# behind the edit, trains an editor and measures it as the paper does. The faces are drawn, 64 × 64 pixels, and their
# networks come with the project. On 2 CPU cores all of it takes about four minutes, the training two of them.

# %%
# In a checkout this only goes to the project's folder. On a hosted notebook it fetches the project and installs it.
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = ""  # hosted: where the project lies, an address for `git clone`

folders = (Path.cwd(), *Path.cwd().parents)
root = next((folder for folder in folders if (folder / "models/editing/studio.py").is_file()), Path.cwd() / "sdflow")
if not root.exists():
    if not REPOSITORY:
        raise SystemExit("The project is not here: put its address into REPOSITORY and run this cell again.")
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", REPOSITORY, root], check=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--editable", root], check=True)
os.chdir(root)
sys.path.insert(0, str(root))

# %%
import io
import json
import shutil
import tempfile
import time
from collections.abc import Mapping

import numpy as np
import PIL.Image
import torch
from IPython.display import Image, Markdown, display
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from models.evaluation import figures
from utils.images import to_pillow

QUICK = bool(os.environ.get("SDFLOW_TOUR_QUICK"))  # the test of this notebook sets it: everything small
STEPS, TRAINED, MEASURED = (4, 32, 6) if QUICK else (500, 2000, 100)  # steps, faces, faces
OUTPUT = Path(tempfile.mkdtemp()) if QUICK else Path("output/tour")
OUTPUT.mkdir(parents=True, exist_ok=True)


def picture_of(name: str) -> Image:
    """A picture in OUTPUT, to be shown: in 256 colours, so that the notebook stays small."""
    data = io.BytesIO()
    PIL.Image.open(OUTPUT / name).convert("RGB").quantize(256).save(data, "PNG", optimize=True)
    return Image(data.getvalue())


def show(figure: Figure, name: str) -> None:
    """Show a figure; it is kept in OUTPUT, too."""
    figures.save(figure, OUTPUT / name, {})
    display(picture_of(name))


def row(pictures: Mapping[str, PIL.Image.Image]) -> Figure:
    """Small pictures, enlarged, side by side under their titles."""
    figure, axes = plt.subplots(1, len(pictures), figsize=(1.5 * len(pictures), 1.8), dpi=100, layout="constrained")
    for axis, (title, picture) in zip(axes, pictures.items(), strict=True):
        axis.imshow(picture, interpolation="lanczos")
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    return figure


# %% [markdown]
# ## An edit
#
# `Studio` is the interface for edits from Python ([models/editing](../models/editing/README.md)). It opens the editor
# that comes with the project. We draw a face that no network has been trained on, and turn each of its attributes to
# the other side: `"flip"` makes a young face old and an old one young.

# %%
from datasets.avatars import AvatarFaces
from models.editing import Studio

NUMBER = 10
drawn = AvatarFaces(count=max(MEASURED, NUMBER + 1), split="test")
studio = Studio.open()
[face] = studio.find(drawn[NUMBER]["image"])
flipped = {name: face.edit({name: "flip"}).picture for name in studio.attributes}
show(row({"drawn face": face.picture, "inversion": face.inversion, **flipped}), "edits.png")

# %% [markdown]
# The **inversion** is what the generator can reproduce of the face; edits start from it. Nobody knows how the face of a
# photograph would look with another attribute. Of a drawn face the answer is known: it is drawn with the other value.

# %%
smile = face.edit(Smiling="flip")
truth = to_pillow(drawn.counterfactual(NUMBER, "Smiling"))
show(row({"inversion": face.inversion, "edited": smile.picture, "true answer": truth}), "truth.png")
print("before:", {name: round(value, 2) for name, value in face.attributes.items()})
print("after: ", {name: round(value, 2) for name, value in smile.attributes.items()})
print(f"identity: {smile.identity:.2f} (cosine; 1 is the same person)")

# %% [markdown]
# ## Another mask, another style
#
# The flow can be conditioned on something else than attributes. S²-Flow takes the face's *mask*, which says what each
# pixel belongs to; what the mask does not say, it calls the *style*. Here the hair of another face is put on the mask,
# and in the second row the style goes half of the way to that of this face as well. Masks can be painted by hand, too
# ([how to edit them](../models/editing/README.md#masks-and-styles)).

# %%
from models.parsing.mask_edits import edit_mask
from models.parsing.masks import enlarged


def coloured(mask: np.ndarray) -> PIL.Image.Image:
    """A mask in the colours of its classes."""
    return enlarged(torch.from_numpy(mask), 128)


masks = Studio.open("pretrained/avatars/s2flow.safetensors")
[source], [other] = (masks.find(drawn[number]["image"]) for number in (NUMBER, NUMBER - 1))
wanted = edit_mask("hair", source.mask, other.mask)
masked = {"edited mask": coloured(wanted), "result": source.edit(mask=wanted).picture}
show(row({"source": source.inversion, "mask": coloured(source.mask), **masked}), "mask.png")
both = source.edit(mask=wanted, style=(other, 0.5)).picture
styled = {"half of its style": source.edit(style=(other, 0.5)).picture, "mask and style": both}
show(row({"source": source.inversion, "other face": other.inversion, **styled}), "style.png")

# %% [markdown]
# ## Another person
#
# ID swap reads two vectors from a face: the *identity*, who it is, and everything else. Here the identity of another face
# meets everything else of this one: expression, glasses, hairstyle, clothes, light. Shares between 0 and 1 lie on the way
# from one identity vector to the other; a random vector belongs to nobody
# ([how it is trained](../configs/id_swap/README.md)).

# %%
persons = Studio.open("pretrained/avatars/id_swap.safetensors")
[scene], [person] = (persons.find(drawn[number]["image"]) for number in (NUMBER, NUMBER - 1))
swapped = scene.edit(identity=person)
way = {f"share {share}": scene.edit(identity=(person, share)).picture for share in (0, 0.5)}
nobody = {"nobody": scene.edit(identity="random:1").picture}
show(row({"scene": scene.picture, "person": person.picture, **way, "swapped": swapped.picture, **nobody}), "swap.png")
print(f"cosine to the person: {swapped.identity_to(person):.2f}, to the face of the scene: {swapped.identity:.2f}")

# %% [markdown]
# ## The parts behind it
#
# | symbol | what it is | where |
# | --- | --- | --- |
# | w | the *latent code* of the face: the input from which the StyleGAN2 generator G makes this picture | [domain.py](../models/domain.py) |
# | s | the *condition*: a number for each attribute, 0 absent, 1 present, read by the semantic encoder E_s | [semantic_encoder.py](../models/semantic_encoder.py) |
# | z | the *rest*: what the flow Φ leaves of w when s is taken out | [flows](../models/flows) |
#
# Φ is a continuous normalizing flow: a differential equation that moves w to z while it looks at s (equations 1 and 2).
# It can be solved backwards, so an edit is: go from w to z with the s of the face, and come back with another one
# (equation 4). Every editor of the project has these three steps, `read`, `prepare` and `move`
# ([base.py](../models/editors/base.py)).

# %%
domain, editor = studio.pipeline.domain, studio.pipeline.editor
image = drawn[NUMBER]["image"][None].to(domain.device)

w = domain.encode(image)  # 10 style vectors of 128 numbers
s = editor.read(w, image)  # 5 attributes
z = editor.prepare(w, s)  # as many numbers as w
target = s.clone()
target[:, domain.attributes.index("Eyeglasses")] = 1 - s[:, domain.attributes.index("Eyeglasses")].round()
edited = editor.move(z, s, target)

print("w", tuple(w.shape), " s", tuple(s.shape), " z", tuple(z.shape))
print(f"there and back with the same s: w changes by at most {(editor.move(z, s, s) - w).abs().max():.0e}")
with torch.no_grad():
    pictures = {title: to_pillow(domain.synthesise(code)[0]) for title, code in (("G(w)", w), ("G(w_e)", edited))}
show(row(pictures), "by_hand.png")

# %% [markdown]
# What is z good for? Codes w lie in an odd-shaped cloud. The flow makes it a round one, the standard Gaussian, whatever
# s is. An edit that keeps z is then to end where real faces with the new s lie, and to keep what z holds. (How much of s
# is left in z was [measured](../results/README.md): some.)

# %%
from models.editors.base import attribute_editor
from models.evaluation.faces import decompose, faces_of

faces = faces_of(drawn, domain, MEASURED, with_truth=False)
shipped = decompose(attribute_editor(editor), faces.latent, faces.image, domain.device)

figure, axes = plt.subplots(1, 2, figsize=(7, 2.2), dpi=100, layout="constrained")
for axis, title, values in zip(axes, ("w", "z = Φ(w; s)"), (faces.latent, shipped.rest), strict=True):
    axis.hist(values.flatten().numpy(), bins=100, density=True, color=figures.PALETTE[0])
    axis.set_title(f"all numbers of {title}, {len(faces)} faces", fontsize=9)
line = torch.linspace(-4, 4, 100)
axes[1].plot(line, torch.distributions.Normal(0, 1).log_prob(line).exp(), color=figures.PALETTE[1], label="Gaussian")
axes[1].legend(loc="upper right")
show(figure, "codes.png")

# %% [markdown]
# Values between 0 and 1 are edits by degrees; they may go a little beyond.

# %%
ages = face.sweep("Young", 0, 1, 6)
show(row({f"Young = {edit.wanted['Young']:.1f}": edit.picture for edit in ages}), "sweep.png")

# %% [markdown]
# ## Training
#
# E_s and Φ learn together; everything else is frozen. A step takes faces I with their codes w, computes s and z, puts a
# random value in place of one of the attributes (ŝ), and goes back to the edited code w_e and its picture Î. Four
# losses look at these:
#
# | loss | equation | what it asks for |
# | --- | --- | --- |
# | [nll](../criteria/likelihood.py) | 3 | z is Gaussian: the *negative log-likelihood* of w given s |
# | [kd](../criteria/distillation.py) | 5 | E_s(I) agrees with a trained attribute classifier C: *knowledge distillation* |
# | [mi](../criteria/mutual_information.py) | 6 | E_s reads ŝ from the edited picture Î: a bound of the *mutual information* |
# | [reg](../criteria/latent_distance.py) | 7 | w_e stays near w: *regularisation* |
#
# Their weighted sum is the total loss (equation 8). We call the project's `train.py` with a small config,
# [avatars_tour.yaml](../configs/sdflow/avatars_tour.yaml), and draw its log while it works.

# %%
TITLES = {
    "nll": "nll: z is Gaussian",
    "kd": "kd: E_s agrees with C",
    "mi": "mi: the edit can be seen",
    "reg": "reg: w_e stays near w",
}


def loss_curves(run: Path) -> Image:
    """The four losses as far as they are logged, each before it is weighted."""
    log = run / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    steps = [line for line in lines if line["group"] == "train"]
    figure, axes = plt.subplots(1, 4, figsize=(10, 2.3), dpi=100, layout="constrained")
    for axis, (term, title), colour in zip(axes, TITLES.items(), figures.PALETTE, strict=False):
        axis.plot([line["step"] for line in steps], [line[term] for line in steps], color=colour)
        axis.set(title=title, xlabel="step", xlim=(0, STEPS))
        axis.set_ylim(bottom=0)
    figures.save(figure, OUTPUT / "losses.png", {})
    return picture_of("losses.png")


# %%
run = OUTPUT / "training"
shutil.rmtree(run, ignore_errors=True)  # of an earlier call
words = ["--config", "configs/sdflow/avatars_tour.yaml", "--run", str(run), "--quiet"]
words += [f"training.steps={STEPS}", f"training.warmup_steps={STEPS // 20}", f"data.faces.count={TRAINED}"]

with open(OUTPUT / "training.txt", "w") as messages:
    training = subprocess.Popen([sys.executable, "train.py", *words], stdout=messages, stderr=messages)
curves = display(loss_curves(run), display_id=True)
while training.poll() is None:
    time.sleep(2)
    curves.update(loss_curves(run))
if training.returncode:
    raise RuntimeError((OUTPUT / "training.txt").read_text())
print(f"{STEPS} steps on {TRAINED} faces")

# %% [markdown]
# How to read the curves:
#
# - **nll** falls first: the flow finds where the codes lie and how far they spread.
# - **kd** falls next. E_s begins with the trunk of C and needs a new head.
# - **mi** rises while E_s gets opinions and the flow does not follow them yet. It falls when edits begin to show.
# - **reg** rises at the same time: an edit that shows must move the code. What is left of it is the price of an edit.
#
# The run folder now holds an editor. It opens like the one that comes with the project.

# %%
young = Studio.open(run)
[face] = young.find(drawn[NUMBER]["image"])
flipped = {name: face.edit({name: "flip"}).picture for name in young.attributes}
show(row({"drawn face": face.picture, "inversion": face.inversion, **flipped}), "edits_of_this_run.png")

# %% [markdown]
# ## The paper's figures
#
# All of them come from the project's evaluation ([models/evaluation](../models/evaluation)), as `evaluate.py` draws
# them. The test faces are new to both editors: the one of this run and the one that comes with the project, which was
# trained for 6,000 steps.
#
# **Fig. 2** of the paper shows how often E_s gives each value. Most faces have an attribute or do not have it; age and
# smile come in degrees.

# %%
from models.evaluation.contestants import load_contestants
from utils.devices import pick_device

EDITORS = [("this run", run), ("shipped", Path("pretrained/avatars/editor.safetensors"))]
contestants = load_contestants(EDITORS, pick_device("auto"))
domain = contestants[0].domain

read = decompose(contestants[0].editor, faces.latent, faces.image, domain.device).condition
show(figures.histogram_figure(read.numpy(), domain.attributes), "figure_2.png")

# %% [markdown]
# For the other figures each attribute of each face is turned with rising *strength* d: a present attribute is set to
# −d, an absent one to 1 + d. A second classifier that took no part in the training, the *judge*, decides whether it
# turned.

# %%
from models.evaluation.comparing import measured
from models.evaluation.comparison import Comparison

STRENGTHS = (0.0, 0.3) if QUICK else (-0.5, -0.4, -0.3, -0.2, 0.0, 0.3, 0.6)
outcomes = measured(contestants, domain, faces, STRENGTHS, OUTPUT / "measured", quiet=True)
comparison = Comparison(outcomes["inversion"])

# %% [markdown]
# **Fig. 3**: a face in each row, one attribute edited in each column, at the strength at which 95 % of the edits
# succeed.

# %%
from models.evaluation.sheets import comparison_sheet

comparison_sheet(contestants, domain, faces, {name: comparison.strength_shown(name) for name, _ in EDITORS}, OUTPUT, 2)
display(picture_of("sheet.png"))

# %% [markdown]
# **Fig. 4**: what an edit costs. To the right more edits succeed (*accuracy*); upwards more of the face is kept: of the
# other attributes' decisions (*preservation*), and of the person (*identity*, the cosine of two embeddings of a face
# recognition network). Shaded: 95 % intervals over the faces.

# %%
from models.evaluation.comparison_figures import curve_figure
from models.evaluation.comparison_report import readings_table

summary = comparison.summary()
show(curve_figure({"inversion": summary}), "figure_4.png")
display(Markdown(readings_table(summary, "average")))

# %% [markdown]
# The intervals overlap: on these faces two minutes of training come as far as the 6,000 steps of the editor that comes
# with the project. The codes of drawn faces are easy to edit, even for linear directions. Where methods differ, and by
# how much, is shown by the [study](../results/README.md) in a bent space of codes.
#
# ## Photographs: FFHQ
#
# The same code edits photographs of faces, 1024 × 1024. What it needs is not part of the project, because it belongs to
# others:
#
# | for | needs |
# | --- | --- |
# | edits of photographs | generator, encoder and SDFlow's published editor: `python scripts/download.py ffhq sdflow`, about 4 GB |
# | training | the same group `ffhq`, the FFHQ pictures in `data/ffhq`, and a GPU in practice |
# | your own pictures | [datasets](../datasets/README.md) |
#
# ```
# python edit.py PHOTOS -o OUT --set Young=1 --checkpoint pretrained/ffhq/prior-0010000 --semantic-encoder pretrained/ffhq/labeldist-0010000
# python train.py --config configs/sdflow/ffhq.yaml
# python evaluate.py --checkpoint runs/sdflow-ffhq --faces data/ffhq-test
# ```
#
# [ffhq.yaml](../configs/sdflow/ffhq.yaml) is the paper's setting; [the configs](../configs/sdflow/README.md) say where
# the authors' code differs. With the files in place, `Studio.open` takes the same two paths as `edit.py`. The real
# files have not been tried here: the code was tested with stand-ins of the same formats and sizes.
#
# ## Where to go from here
#
# | | |
# | --- | --- |
# | more edits, from the command line | [models/editing](../models/editing/README.md) |
# | training in earnest: an hour on 2 cores | [training](../training/README.md) |
# | six methods compared | [results](../results/README.md) |
# | a method of your own | [models/editors](../models/editors/README.md) |
