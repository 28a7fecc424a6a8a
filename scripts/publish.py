#!/usr/bin/env python
"""Write the folder that shares an editor on the Hugging Face Hub: weights, model card, example pictures.

    python scripts/publish.py runs/mine -o output/model --licence mit --name alice/faces
    python scripts/publish.py runs/mine -o output/model --licence mit --evaluation output/evaluation
    python scripts/publish.py runs/mine -o output/model --licence mit --space output/space

Nothing is uploaded: the command that does it is printed. Absolute paths in the metadata of the weights are shortened to
their last part, so that no folder of yours is published. Afterwards everybody can use the editor as
--checkpoint hf:OWNER/NAME. --space also writes a Gradio Space: the page of scripts/page.py with this editor, its
networks and sample faces, for everybody's browser. Exit status: 0 done, 1 cannot be written, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from utils.failures import described, exit_status, explain_failures
from utils.options import A_RUN, CommandParser, add_device_option, input_folder, input_path, not_empty, output_folder
from utils.paths import absolute


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of publish.py."""
    parser = CommandParser(__doc__)
    parser.add_argument("checkpoint", type=not_empty, metavar="CHECKPOINT", help=A_RUN)
    parser.add_argument(
        "-o", "--output", type=output_folder, required=True, metavar="FOLDER", help="new folder for the repository"
    )
    parser.add_argument(
        "--licence",
        type=licence_text,
        metavar="TEXT",
        help="of the weights, such as mit or cc-by-nc-4.0; asked for on a terminal, else needed",
    )
    parser.add_argument(
        "--name",
        type=repository,
        default="OWNER/NAME",
        metavar="OWNER/NAME",
        help="of the repository, for card and commands",
    )
    parser.add_argument(
        "--evaluation", type=input_folder, metavar="FOLDER", help="of evaluate.py on this editor, for the card"
    )
    parser.add_argument(
        "--samples",
        type=input_path,
        metavar="PICTURES",
        help="faces of people who agreed, or of nobody, to show edits of (default: drawn faces, for their domain)",
    )
    parser.add_argument(
        "--with-networks",
        action="store_true",
        help="put the domain's networks beside the editor, for users who lack them; only those that are yours",
    )
    parser.add_argument("--space", type=output_folder, metavar="FOLDER", help="also write a Space to this new folder")
    add_device_option(parser)
    options = parser.parse_args(arguments)
    for option, folder in (("-o", options.output), ("--space", options.space)):
        if folder is not None and folder.is_dir() and any(folder.iterdir()):
            parser.error(f"{option} {folder}: is not empty, and everything in it would be uploaded")
    if options.space is not None:
        model, space = absolute(options.output), absolute(options.space)
        if model.is_relative_to(space) or space.is_relative_to(model):
            parser.error("--space: a Space is a repository of its own, so its folder and that of -o lie side by side")
    return options


def licence_text(text: str) -> str:
    """`type=` of the name of a licence."""
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError("a licence has a name in one line, such as mit or cc-by-nc-4.0")
    return text.strip()


def repository(text: str) -> str:
    """`type=` of OWNER/NAME."""
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"'{text}' is not OWNER/NAME")
    return text


if __name__ == "__main__":
    explain_failures()
    parse_arguments()  # --help and usage errors are reported before importing PyTorch

import shlex
import shutil

from models.editing import Studio
from models.editing.requests.base import RequestError
from models.editors.loading import editor_path
from scripts.publishing.card import model_card, read_evaluation
from scripts.publishing.space import write_space
from scripts.publishing.weights import (
    OWN,
    SHIPPED,
    FrozenNetwork,
    check_ours,
    copy_weights,
    frozen_networks,
)
from utils.files import write_text
from utils.hub import USUAL
from utils.paths import displayed
from utils.photo_files import find_photos
from utils.sheets import SheetWriter

_EXAMPLES = 6  # sample faces that are shown


def publish(options: argparse.Namespace) -> list[str]:
    """Write the folders; returns what to say about them.

    Raises:
        ValueError: the editor or something else that was named cannot be used.
        OSError: they cannot be written.
    """
    studio = Studio.open(options.checkpoint, device=options.device)
    source, networks = editor_path(options.checkpoint), frozen_networks(studio.pipeline.domain)
    if options.with_networks or options.space:
        check_ours(networks)
    evaluation = None
    if options.evaluation is not None:
        evaluation = read_evaluation(options.evaluation, studio.metadata["hash"])
    samples = sample_faces(options.samples, networks)
    licence = options.licence or asked_licence(networks)
    remarks = []

    if private := copy_weights(source, options.output / USUAL):
        remarks.append(f"shortened in the metadata, so the file has another hash: {', '.join(private)}")
    if options.with_networks:
        for network in networks:
            copy_weights(network.path, options.output / network.path.name)
    elif lacking := [network.path.name for network in networks if network.terms == OWN]:
        remarks.append(f"only you have {', '.join(lacking)}, without which nobody can use it: see --with-networks")
    has_examples = bool(samples and studio.attributes)
    if has_examples:
        write_examples(studio, samples, options.output)
    else:
        remarks.append("no example pictures: name faces with --samples")
    if evaluation is not None and (options.evaluation / "curves.png").is_file():
        shutil.copyfile(options.evaluation / "curves.png", options.output / "curves.png")
    card = model_card(studio, options.name, licence, networks, options.with_networks, evaluation, has_examples)
    write_text(options.output / "README.md", card)
    if options.space is not None:
        for name, path in {USUAL: source, **{network.path.name: network.path for network in networks}}.items():
            copy_weights(path, options.space / name)
        title = f"{studio.pipeline.editor.title} for {studio.pipeline.domain.name}"
        write_space(options.space, title, options.name, licence, samples)
    return [*remarks, *upload_commands(options)]


def asked_licence(networks: Sequence[FrozenNetwork]) -> str:
    """The licence that the publisher types in, who is told first what the editor stands on.

    Raises:
        RequestError: nobody is there to type, or nothing was typed.
    """
    if not sys.stdin.isatty():
        raise RequestError("--licence is missing: under which licence do you give the weights away?")
    print("The editor works with these frozen networks:")
    for network in networks:
        print(f"  {network.part}: {network.terms}")
    try:
        return licence_text(input("Licence of the editor's weights (such as mit, cc-by-nc-4.0): "))
    except (argparse.ArgumentTypeError, EOFError):
        raise RequestError("without a licence nobody may use the weights, so nothing was written") from None


def sample_faces(given: Path | None, networks: Sequence[FrozenNetwork]) -> list[Path]:
    """Pictures to show edits of: those that were named, else the drawn faces in their own domain.

    Raises:
        RequestError: what was named holds no picture.
    """
    if given is None and not all(network.path.parent == SHIPPED for network in networks):
        return []
    found = find_photos([str(given or SHIPPED / "samples")])
    if not found.photos:
        raise RequestError("; ".join(found.problems))
    return [photo.path for photo in found.photos][:_EXAMPLES]


def write_examples(studio: Studio, samples: Sequence[Path], folder: Path) -> None:
    """Write `sheet.png`: each sample face with each attribute flipped in turn.

    Raises:
        ValueError: a picture without a face of this domain.
    """
    faces = []
    for path in samples:
        try:
            faces += studio.find(path, "largest")[:1]
        except ValueError as error:
            raise RequestError(f"{displayed(path)}: {error}") from None
    flipped = [studio.edit(faces, {name: "flip"}) for name in studio.attributes]
    sheet = SheetWriter(folder, ["input", "inversion", *(f"{name} flipped" for name in studio.attributes)])
    for number, face in enumerate(faces):
        pictures = [face.picture, face.inversion, *(edits[number].picture for edits in flipped)]
        sheet.add(samples[number].stem, pictures)
    sheet.flush()


def upload_commands(options: argparse.Namespace) -> list[str]:
    """What to do next."""
    model = shlex.join(["hf", "upload", options.name, str(options.output), "."])
    lines = [f"written to {displayed(options.output)}; look at README.md, then: {model}"]
    if options.space is not None:
        space = shlex.join(["hf", "upload", options.name, str(options.space), ".", "--repo-type", "space"])
        made = shlex.join(["hf", "repos", "create", options.name, "--repo-type", "space", "--space-sdk", "gradio"])
        lines.append(f"the Space is in {displayed(options.space)}: {made}, then: {space}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit status 0 done, 1 cannot be written, 2 wrong usage."""
    options = parse_arguments(arguments)
    try:
        for line in publish(options):
            print(line)
    except (ValueError, OSError) as error:
        print(f"publish.py: {described(error)}", file=sys.stderr)
        return exit_status(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
