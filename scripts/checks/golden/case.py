"""A golden case: deterministic weights and inputs, the recorded outputs of a published network, and the comparison.

A case is `NAME.json` beside `NAME.npz`. The JSON names every parameter (key -> shape), the inputs and how each output
was reduced; the NPZ holds the recorded arrays. Nothing in a case is executed: transforms and slices are expressions of
a small NumPy subset, checked before they are evaluated.
"""

from __future__ import annotations

import ast
import json
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Array = np.ndarray
ORIGIN = " from "  # between an output's name and the file that held the weights, where it was not the case
Builder = Callable[["GoldenCase"], Mapping[str, Any]]

_EXPRESSION_NODES = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.Compare, ast.cmpop, ast.Call, ast.keyword,
    ast.Attribute, ast.Name, ast.Load, ast.Constant, ast.Subscript, ast.Slice, ast.Tuple, ast.List, ast.BoolOp,
    ast.boolop, ast.IfExp, ast.Lambda, ast.arguments, ast.arg,
)  # fmt: skip
_FORBIDDEN_FUNCTIONS = re.compile(r"load|save|file|memmap|lib|ctypes|text|test|distutils|f2py|eval|compile|source")


class CaseError(ValueError):
    """A golden case that cannot be read, or a network that does not fit it; the message says which part."""


def draw(name: str, shape: Iterable[int], salt: int = 0) -> Array:
    """Standard normal float32 array that depends on its name, shape and salt alone."""
    seed = zlib.crc32(f"{salt}:{name}".encode())
    generator = np.random.Generator(np.random.PCG64(seed))
    return generator.standard_normal(size=tuple(shape)).astype(np.float32)


def fill_one(key: str, shape: Iterable[int], salt: int = 0, gains: Iterable[tuple[str, float]] = ()) -> Array:
    """Deterministic value of one parameter or buffer.

    The key's ending decides: running_var 0.5 + |tanh n|, running_mean 0.1 n, num_batches_tracked 0; a scalar is
    1 + 0.1 n, a vector named bias or beta 0.1 n, another vector 0.75 + 0.1 n, all else n / sqrt(fan-in). The first
    pair of `gains` whose regex is found in the key multiplies the value.
    """
    shape = tuple(shape)
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, dtype=np.int64)
    normal = draw(key, shape, salt)
    if key.endswith("running_var"):
        value = 0.5 + np.abs(np.tanh(normal))
    elif key.endswith("running_mean"):
        value = 0.1 * normal
    elif not shape:
        value = 1 + 0.1 * normal
    elif len(shape) == 1:
        value = 0.1 * normal if key.endswith(("bias", "beta")) else 0.75 + 0.1 * normal
    else:
        value = normal / np.sqrt(np.prod(shape[1:]))
    factor = next((gain for pattern, gain in gains if re.search(pattern, key)), None)
    if factor is not None:
        value = value * factor
    return np.asarray(value, dtype=np.float32)


def evaluate(expression: str, **names: Any) -> Any:
    """Value of a NumPy expression in the given names; anything beyond arithmetic, indexing and np calls is refused.

    A part that is used more than once may be named by a lambda.
    """
    tree = ast.parse(expression.strip(), mode="eval")
    parameters = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    for node in ast.walk(tree):
        if not isinstance(node, _EXPRESSION_NODES):
            raise CaseError(f"{expression!r}: {type(node).__name__} is not allowed here")
        if isinstance(node, ast.Lambda) and not node.args.args:
            raise CaseError(f"{expression!r}: a lambda without arguments is not allowed here")
        if isinstance(node, ast.Name) and node.id not in (*names, *parameters, "np"):
            raise CaseError(f"{expression!r}: unknown name {node.id!r}")
        if isinstance(node, ast.Attribute) and (node.attr.startswith("_") or _FORBIDDEN_FUNCTIONS.search(node.attr)):
            raise CaseError(f"{expression!r}: attribute {node.attr!r} is not allowed here")
    builtins = {"__import__": __import__}  # no expression can name it, but NumPy's methods import a part at first use
    return eval(compile(tree, "<case>", "eval"), {"__builtins__": builtins, "np": np}, dict(names))


def as_array(value: Any) -> Array:
    """NumPy array of a tensor, array, number or nested list."""
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)


@dataclass
class GoldenCase:
    """One case, read.

    Attributes:
        name: the case's name; builders are found by it.
        meta: the whole JSON record.
        shapes: key -> shape of every parameter and buffer, as the public checkpoint names them.
        inputs: name -> array, drawn and transformed or read from the NPZ.
        photos: name -> file of each input that is a photograph.
        pickle: the published file with these weights, `NAME.pkl` beside the case, where there is one.
    """

    name: str
    meta: dict[str, Any]
    arrays: dict[str, Array]
    shapes: dict[str, tuple[int, ...]]
    inputs: dict[str, Array] = field(default_factory=dict)
    photos: dict[str, Path] = field(default_factory=dict)
    pickle: Path | None = None

    @classmethod
    def load(cls, path: str | Path, photos: str | Path | None = None) -> GoldenCase:
        """Read a case.

        Args:
            path: its JSON file; the NPZ stands beside it.
            photos: folder of the photographs (default: `photos` beside the folder of the case).
        """
        path = Path(path)
        try:
            meta = json.loads(path.read_text(encoding="utf-8"))
            with np.load(path.with_suffix(".npz"), allow_pickle=False) as stored:
                arrays = {key: stored[key] for key in stored.files}
        except (OSError, ValueError) as error:
            raise CaseError(f"{path.name}: cannot be read ({error})") from error
        shapes = {key: tuple(shape) for key, shape in meta.get("shapes", {}).items()}
        case = cls(meta.get("name", path.stem), meta, arrays, shapes)
        if path.with_suffix(".pkl").is_file():
            case.pickle = path.with_suffix(".pkl")
        folder = Path(photos) if photos else path.resolve().parent.parent / "photos"
        for name, record in meta.get("inputs", {}).items():
            if "file" in record:
                case.photos[name] = folder / Path(record["file"]).name
            elif "array" in record:
                case.inputs[name] = arrays[record["array"]]
            else:
                value = draw(name, record["shape"], case.salt)
                case.inputs[name] = evaluate(record["transform"], x=value) if "transform" in record else value
        return case

    @property
    def salt(self) -> int:
        return int(self.meta.get("salt", 0))

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        return self.meta["outputs"]

    def tensor(self, name: str) -> Tensor:
        """An input as a tensor of its own (writing to it does not change the case)."""
        return torch.from_numpy(np.array(self.inputs[name]))

    def value(self, key: str) -> Tensor:
        """The deterministic value of one key of `shapes`."""
        return torch.from_numpy(fill_one(key, self.shapes[key], self.salt, self.meta.get("gains", ())))

    def kept(self, key: str) -> bool:
        """Whether the network keeps its own value of this key (fixed FIR kernels)."""
        return any(re.search(pattern, key) for pattern in self.meta.get("keep", ()))

    def state(self, prefix: str = "") -> dict[str, Tensor]:
        """State of the keys that begin with `prefix`, without it; kept keys are left out."""
        return {
            key[len(prefix) :]: self.value(key) for key in self.shapes if key.startswith(prefix) and not self.kept(key)
        }

    def fill(self, module: nn.Module, prefix: str = "", derivable: Iterable[str] = ()) -> None:
        """Write the case's weights into a module, one key at a time (a large network is never held twice).

        Args:
            derivable: regexes of keys that the module or the case may lack.
        Raises:
            CaseError: keys or shapes differ from the case's.
        """
        patterns = tuple(derivable)
        own = module.state_dict(keep_vars=True)
        wanted = {key[len(prefix) :]: key for key in self.shapes if key.startswith(prefix)}
        differing = [
            key for key in own.keys() ^ wanted.keys() if not any(re.search(pattern, key) for pattern in patterns)
        ]
        common = [key for key in own if key in wanted]
        differing += [key for key in common if tuple(own[key].shape) != self.shapes[wanted[key]]]
        if differing:
            raise CaseError(f"keys or shapes differ from the case's: {', '.join(sorted(differing)[:5])}")
        with torch.no_grad():
            for key in common:
                if not self.kept(wanted[key]):
                    own[key].copy_(self.value(wanted[key]))

    def expected(self, output: str) -> Array:
        """Recorded (reduced) value of an output, its `subtract` taken off."""
        record = self.outputs[output]
        value = self.arrays[record["array"]]
        return value - record["subtract"] if "subtract" in record else value

    def tolerance(self, output: str) -> float:
        overrides = self.meta.get("tolerances", {})
        record = self.outputs[output]
        return float(record.get("tolerance", overrides.get(output, self.meta["tolerance"])))

    def reduce(self, output: str, value: Any) -> Array:
        """Reduce an output as the recorded one was: `full`, `slice:[…]`, `pool:N` or `pick:N`.

        Raises:
            CaseError: unknown reduction, or an array of another shape than the one recorded.
        """
        record, array = self.outputs[output], as_array(value)
        how, _, argument = record.get("how", "full").partition(":")
        shape = tuple(record.get("shape", array.shape))
        if array.shape != shape and (array.size != 1 or np.prod(shape) != 1):
            raise CaseError(f"{output} has shape {array.shape}, recorded {shape}")
        if how == "full":
            return array
        if how == "slice":
            return evaluate(f"x{argument}", x=array)
        if how.startswith("pool"):
            block = int(argument)
            *lead, height, width = array.shape
            blocks = array.reshape(*lead, height // block, block, width // block, block)
            return blocks.astype(np.float64).mean(axis=(-3, -1))
        if how == "pick":
            return array.reshape(-1)[self.arrays[f"{record['array']}.index"]]
        raise CaseError(f"{output}: unknown reduction {record['how']!r}")


@dataclass(frozen=True)
class Comparison:
    """One output against its recorded value; `error` is ‖ours − recorded‖ / ‖recorded‖.

    `output` ends with ` from FILE` where another source of the same weights computed it.
    """

    output: str
    error: float
    tolerance: float
    reason: str = ""

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance

    @property
    def severity(self) -> float:
        """Error in units of the tolerance."""
        if self.tolerance > 0:
            return self.error / self.tolerance
        return 0.0 if self.error == 0 else np.inf


@dataclass(frozen=True)
class CaseResult:
    """All comparisons of a case."""

    name: str
    comparisons: tuple[Comparison, ...]

    @property
    def worst(self) -> Comparison:
        return max(self.comparisons, key=lambda comparison: comparison.severity)

    @property
    def passed(self) -> bool:
        return all(comparison.passed for comparison in self.comparisons)

    def failures(self) -> list[str]:
        """One line for each output that failed."""
        return [
            f"{c.output}: {c.reason or f'error {c.error:.2g}, tolerance {c.tolerance:.2g}'}"
            for c in self.comparisons
            if not c.passed
        ]


def relative_error(ours: Array, recorded: Array) -> float:
    """‖ours − recorded‖ / ‖recorded‖ (absolute where the recorded value is zero; infinite where ours is no number)."""
    if recorded.dtype.kind in "US" or ours.dtype.kind in "US":
        return 0.0 if np.array_equal(ours.astype(str), recorded.astype(str)) else np.inf
    first = np.asarray(ours, dtype=np.float64).reshape(recorded.shape)
    second = np.asarray(recorded, dtype=np.float64)
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    difference = float(np.linalg.norm(np.where(same, 0.0, first - second)))
    scale = float(np.linalg.norm(np.where(np.isfinite(second), second, 0.0)))
    error = difference / scale if scale > 0 else difference
    return error if np.isfinite(error) else np.inf


def compare(case: GoldenCase, output: str, value: Any) -> Comparison:
    """Reduce one output and compare it with the recorded one; a builder's own `Comparison` stands as it is."""
    if isinstance(value, Comparison):
        return value
    recorded_name = output.partition(ORIGIN)[0]
    tolerance, recorded = case.tolerance(recorded_name), case.expected(recorded_name)
    try:
        ours = case.reduce(recorded_name, value)
    except (CaseError, IndexError) as error:
        return Comparison(output, np.inf, tolerance, str(error))
    if ours.size != recorded.size:
        return Comparison(output, np.inf, tolerance, f"reduces to shape {ours.shape}, recorded {recorded.shape}")
    return Comparison(output, relative_error(ours, recorded), tolerance)


def check_case(case: GoldenCase, builder: Builder) -> CaseResult:
    """Compute a case's outputs and compare each of them; one that is not returned has failed.

    A builder may return an output a second time, as `OUTPUT from FILE`.
    """
    values = builder(case)
    again = [name for name in values if name.partition(ORIGIN)[1] and name.partition(ORIGIN)[0] in case.outputs]
    return CaseResult(
        case.name,
        tuple(
            compare(case, output, values[output])
            if output in values
            else Comparison(output, np.inf, case.tolerance(output), "not computed")
            for output in [*case.outputs, *again]
        ),
    )


def run_case(path: str | Path, builder: Builder, photos: str | Path | None = None) -> CaseResult:
    """Read a case (its JSON file) and check it with a builder."""
    return check_case(GoldenCase.load(path, photos), builder)
