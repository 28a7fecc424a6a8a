"""Graphs as ONNX files, and ONNX files run on the CPU. Needs the packages of the extra `export`."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from utils.files import write_atomically

OPSET = 20


def write_onnx(graph: ExportedProgram, inputs: Sequence[str], output: str, path: Path, half: bool = False) -> None:
    """Write a graph, whose first axis of inputs and output is named `batch`, with its weights in one file.

    Args:
        inputs, output: their names in the file.
        half: keep weights as float16, where none of a tensor's overflows. Programs compute in float32 all the same.
    Raises:
        OSError: it cannot be written.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch about itself
        program: Any = torch.onnx.export(
            graph, dynamo=True, opset_version=OPSET, verbose=False, input_names=list(inputs), output_names=[output]
        )
    model = program.model_proto
    del model.graph.value_info[:]
    for node in model.graph.node:
        del node.metadata_props[:]  # where in PyTorch's graph it was
    if half:
        _halve(model)
    write_atomically(path, lambda temporary: temporary.write_bytes(model.SerializeToString()))


def _halve(model: Any) -> None:
    """Keep the float32 weights of a model as float16, each followed by a cast back."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != TensorProto.FLOAT:
            continue
        with np.errstate(over="ignore"):
            values = numpy_helper.to_array(weight).astype(np.float16)
        if np.isfinite(values).all():
            name = weight.name
            weight.CopyFrom(numpy_helper.from_array(values, f"{name}.half"))
            casts.append(helper.make_node("Cast", [weight.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


class OnnxFile:
    """An ONNX file, ready to run.

    Args:
        threads: that it may use; 0 lets ONNX Runtime decide.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """What it gives for its inputs, by name; others are left out."""
        wanted = {one.name: values[one.name] for one in self._session.get_inputs()}
        (output,) = self._session.run(None, wanted)
        array: np.ndarray = output
        return array
