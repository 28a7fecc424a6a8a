"""Functions of tensors as graphs, by `torch.export`: for any number of faces, and with no more than they use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class Program:
    """A graph, as `torch.export.save` writes it, and the names of what it takes."""

    inputs: tuple[str, ...]
    graph: ExportedProgram


@torch.no_grad()
def traced(
    compute: Callable[..., Tensor],
    names: Sequence[str],
    examples: Mapping[str, Tensor],
    networks: Mapping[str, nn.Module],
) -> Program:
    """The function as a graph; of arguments and networks it has those that a call with the examples touches.

    Args:
        names: of the function's arguments; those without an example are None.
        examples: with two rows or more each.
        networks: that it may use.
    """
    with _Touched() as touched:
        compute(*(examples.get(name) for name in names))
    inputs = tuple(name for name in names if name in examples and touched.has(examples[name]))
    used = {name: network for name, network in networks.items() if touched.has(*network.parameters())}
    rows = {0: Dim("batch")}
    graph = torch.export.export(
        _Function(compute, names, inputs, used),
        tuple(examples[name] for name in inputs),
        dynamic_shapes=(tuple(rows for _ in inputs),),
    )
    for module in graph.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, GraphModule) else ():
            node.meta.pop("stack_trace", None)  # names folders of this computer
    return Program(inputs, graph)


class _Function(nn.Module):
    """A function of the named tensors that are given, beside the networks that it uses."""

    def __init__(
        self,
        compute: Callable[..., Tensor],
        names: Sequence[str],
        given: Sequence[str],
        networks: Mapping[str, nn.Module],
    ) -> None:
        super().__init__()
        self.compute, self.names, self.given = compute, names, given
        self.networks: Any = nn.ModuleDict(networks)  # whose weights the graph then holds

    def forward(self, *tensors: Tensor) -> Tensor:
        values = dict(zip(self.given, tensors, strict=True))
        return self.compute(*(values.get(name) for name in self.names))


class _Touched(TorchFunctionMode):
    """Remembers the tensors with which PyTorch is called."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._seen.update(id(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
        return func(*args, **(kwargs or {}))

    def has(self, *tensors: Tensor) -> bool:
        """Whether one of these, which have existed all the while, was among them."""
        return any(id(tensor) in self._seen for tensor in tensors)
