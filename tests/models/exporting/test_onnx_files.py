"""Weights of ONNX files as float16."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.exporting.programs import traced

onnx = pytest.importorskip("onnx", reason='not installed: onnx (pip install ".[export]")')
for package in ("onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason=f'not installed: {package} (pip install ".[export]")')

from models.exporting.onnx_files import OnnxFile, write_onnx


def test_half_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 512), nn.Tanh(), nn.Linear(512, 8)).requires_grad_(False)
    network[0].bias[0] = 1e6  # which float16 cannot hold
    examples = {"x": torch.randn(2, 64)}
    program = traced(network, ("x",), examples, {"network": network})
    for name, half in (("whole.onnx", False), ("half.onnx", True)):
        write_onnx(program.graph, program.inputs, "y", tmp_path / name, half)
    kinds = {one.data_type for one in onnx.load(str(tmp_path / "half.onnx")).graph.initializer}
    assert {onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT} <= kinds  # the bias that overflows stays
    sizes = [(tmp_path / name).stat().st_size for name in ("half.onnx", "whole.onnx")]
    assert sizes[0] < 0.6 * sizes[1]
    x = torch.randn(5, 64)
    network[0].weight.copy_(network[0].weight.half().float())
    found = OnnxFile(tmp_path / "half.onnx", threads=1)({"x": x.numpy(), "others": x.numpy()})
    np.testing.assert_allclose(found, network(x), atol=2e-3)
