#!/usr/bin/env python
"""Convert a weight file of another project to this project's safetensors, or back.

    python scripts/convert_checkpoint.py e4e_ffhq_encode.pt encoder.safetensors            encoder and mean code
    python scripts/convert_checkpoint.py e4e_ffhq_encode.pt generator.safetensors --network stylegan2_generator
    python scripts/convert_checkpoint.py encoder.safetensors e4e.pt --decoder generator.safetensors
    python scripts/convert_checkpoint.py ffhq.pkl ffhq.pt --to rosinality                  NVlabs' to rosinality's names

Conversion is optional: public files can be used directly wherever weights are expected. Tensors are copied bit for bit.
OUT ending in .safetensors is this project's format, any other name a public one: rosinality (`g_ema`), e4e and psp
(`state_dict`, `opts`, `latent_avg`), deeplab (`state_dict`), plain (the state dict alone) or nvlabs (a state dict with
NVlabs' names; their pickles contain source code and are not written). Exit status: 0 done, 1 refused, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from utils.failures import explain_failures
from utils.options import CommandParser, not_empty, output_file
from utils.paths import absolute

NETWORKS = (  # of `kinds.KINDS`, and below of `writing.PUBLIC_FORMATS`; here, so that --help need not import PyTorch
    "stylegan2_generator", "stylegan2_discriminator", "e4e_encoder", "psp_encoder", "ir_se_identity",
    "iresnet_identity", "attribute_classifier", "semantic_encoder", "continuous_flow", "latent_discriminator",
    "face_parser", "latent_transformer", "latent_classifier", "adatrans", "realnvp", "mask_encoder", "deeplab_v3",
    "swap_encoder", "latent_mapper", "mobilefacenet", "dex",
)
FORMATS = ("plain", "rosinality", "nvlabs", "e4e", "psp", "deeplab")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of convert_checkpoint.py."""
    parser = CommandParser(__doc__)
    parser.add_argument(
        "source", type=not_empty, metavar="IN", help="weight file; see inspect_checkpoint.py for the formats"
    )
    parser.add_argument(
        "target", type=output_file, metavar="OUT", help="file to write; NAME.safetensors: this project's format"
    )
    parser.add_argument(
        "--to", choices=FORMATS, help="public format of OUT (default: the one the network is usually published in)"
    )
    parser.add_argument(
        "--network",
        choices=NETWORKS,
        metavar="NAME",
        help=f"network to take from a file with several: {', '.join(NETWORKS)}",
    )
    parser.add_argument(
        "--decoder", type=not_empty, metavar="FILE", help="generator to store with the encoder (e4e, psp)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    options = parser.parse_args(arguments)
    if absolute(options.target) in map(absolute, filter(None, (options.source, options.decoder))):
        parser.error(f"OUT {options.target}: is a file that is read; write to another one")
    own = options.target.suffix == ".safetensors"
    if own and (options.to or options.decoder):
        parser.error("--to and --decoder need a public format, but OUT is a .safetensors file of this project")
    return options


if __name__ == "__main__":
    explain_failures()
    parse_arguments()  # --help and usage errors are reported before importing PyTorch

from models.weight_files import read_network
from models.weight_files.kinds import title_of
from models.weight_files.writing import natural_format, write_own, write_public
from utils.failures import described
from utils.hub import located
from utils.paths import displayed
from utils.weights import WeightsError


def convert(options: argparse.Namespace) -> str:
    """Do it; returns what was written, in words.

    Raises:
        WeightsError: a file is refused, or the format holds no such network.
    """
    if options.target.exists() and not options.overwrite:
        raise WeightsError(f"{displayed(options.target)}: exists; --overwrite replaces it")
    network = read_network(located(options.source), options.network)
    title = title_of(network.kind)
    if options.target.suffix == ".safetensors":
        write_own(options.target, network)
        return f"{title}, {len(network.tensors)} tensors"
    form = options.to or natural_format(network.kind)
    decoder = read_network(located(options.decoder), "stylegan2_generator") if options.decoder else None
    write_public(options.target, network, form, decoder)
    return f"{title} as {form} has it, {len(network.tensors)} tensors"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit status 0 done, 1 refused."""
    options = parse_arguments(arguments)
    try:
        written = convert(options)
    except (ValueError, OSError) as error:
        print(f"convert_checkpoint.py: {described(error)}", file=sys.stderr)
        return 1
    print(f"{displayed(options.target)}: {written}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
