"""Bad values for every key of every config and every option of every command: named and refused, never a traceback."""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sys
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml

import train
from datasets import DATASETS
from models import NETWORKS
from models.domain import Domain, DomainSettings
from models.editing.aligners import ALIGNERS
from training.augment import Augmentation
from training.methods import METHODS
from training.settings import TrainingSettings
from utils.catalogues import Names
from utils.config import ConfigError, Section, check_arguments, load_config
from utils.paths import ROOT
from utils.ranges import Rule

CONFIGS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "configs").rglob("*.yaml"))
NO_RUNS = ("configs/study.yaml",)
CALLER = {"domain", "style_dim", "image_side", "semantics", "styles", "conditions", "outputs"}  # may be the caller's
AVATARS = "configs/sdflow/avatars.yaml"

BAD: dict[str, Any] = {
    "nothing": None, "text": "much", "empty text": "", "blank": "  ", "NUL": "a\0b", "long text": "x" * 100_000,
    "negative": -5, "zero": 0, "fraction": 0.5, "negative fraction": -0.5, "large": 10**12, "huge": 10**30,
    "thousands of digits": 1 << 40_000, "nan": float("nan"), "inf": float("inf"), "-inf": float("-inf"),
    "nan as text": "nan", "true": True, "empty list": [], "nan in a list": [float("nan")] * 4,
    "long list": list(range(5000)), "one item": [1], "texts": ["a", ""], "lists": [[1], [2]],
    "descending": [1.0, 0.0], "mapping": {"a": 1},
    "section": {"name": "nothing"}, "mapping of nan": {"4": float("nan"), "x": {}}, "bytes": b"\xff",
}  # fmt: skip
NEVER_WHOLE = ("fraction", "huge")
NEVER_A_NUMBER = ("nan", "inf", "-inf", "nan as text", "thousands of digits", "true", "text", "empty list", "mapping")


def sections(config: Section) -> Iterator[tuple[Section, Any]]:
    """Each section of a resolved config with the constructor of what it describes."""
    if "training" in config:
        yield config.section("training"), TrainingSettings
    domain = config.section("domain")
    yield domain, DomainSettings
    catalogues: dict[str, Names[Any]] = {"aligner": ALIGNERS} | dict.fromkeys((*Domain.parts, "latent_space"), NETWORKS)
    for key, catalogue in catalogues.items():
        if isinstance(domain.get(key), Mapping):
            yield domain.section(key), catalogue.find(domain.section(key))
    for key, catalogue in (("method", METHODS), ("data", DATASETS), ("validation", DATASETS)):
        if key not in config:
            continue
        section = config.section(key)
        yield section, catalogue.find(section)
        for inner, value in section.items():
            if inner == "augment":
                yield section.section(inner), Augmentation
            elif isinstance(value, Mapping) and "name" in value:
                kind = DATASETS if inner == "faces" else NETWORKS
                yield section.section(inner), kind.find(section.section(inner))


def resolved(name: str) -> Section:
    """The config of a training, or of a domain alone, as `domain`."""
    config = load_config(ROOT / name)
    if "domain" in config:
        return train.read_config(train.parse_arguments(["--config", str(ROOT / name)]))
    return Section({"domain": config.plain()}, "", {f"domain.{key}": value for key, value in config.sources.items()})


def others_of(section: Section) -> tuple[str, ...]:
    return (*Domain.parts, "weights") if section.path == "domain" or section.path.startswith("domain.") else ()


def given_to(section: Section, constructor: Any) -> set[str]:
    return (CALLER & set(inspect.signature(constructor).parameters)) - set(section)


def keys_of(section: Section, constructor: Any) -> list[str]:
    given = given_to(section, constructor)
    return [key for key in inspect.signature(constructor).parameters if key not in given and key != "domain"]


def refusal(section: Section, constructor: Any, key: str, value: Any) -> str:
    """The message about a value, empty where it is allowed."""
    wrong = Section({**section, key: value}, section.path, section.sources)
    try:
        check_arguments(wrong, constructor, given_to(section, constructor), others=others_of(section))
    except ConfigError as error:
        return str(error)
    return ""


ALL = {name: list(sections(resolved(name))) for name in CONFIGS if name not in NO_RUNS}
CONSTRUCTORS = {c: s for found in ALL.values() for s, c in found}


@pytest.mark.parametrize("name", ALL)
def test_every_key_of_every_config_is_named_where_its_value_is_bad(name: str) -> None:
    found = ALL[name]
    assert found
    for section, constructor in found:
        for key in keys_of(section, constructor):
            message = refusal(section, constructor, key, 2.5j)  # no YAML has it, so no key takes it
            assert f"{section.key(key)}: must be " in message, (section.path, key, message)


def annotated_keys() -> dict[tuple[Any, str], Any]:
    """Every argument that a config may set, with its annotation: of the configs' objects and of all others by name."""
    catalogues: tuple[Names[Any], ...] = (DATASETS, NETWORKS, METHODS, ALIGNERS)
    kinds = [catalogue.load(name) for catalogue in catalogues for name in catalogue.names()]
    result = {}
    for kind in dict.fromkeys([*CONSTRUCTORS, *kinds]):
        hints = typing.get_type_hints(kind.__init__, include_extras=True)
        parameters = inspect.signature(kind).parameters
        result |= {(kind, key): hints[key] for key in parameters if key != "domain"}
    return result


ANNOTATED = annotated_keys()
NO_RANGE = {"curvature", "frequency", "resample_filter"}  # any finite number


def bare_numbers(annotation: Any) -> set[Any]:
    """`int` and `float` inside an annotation that no rule bounds."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in (int, float):
        return {annotation}
    if origin is Annotated:
        return set() if any(isinstance(rule, Rule) for rule in inner[1:]) else bare_numbers(inner[0])
    if origin is typing.Literal:
        return set()
    own = inner[1:] if inspect.isclass(origin) and issubclass(origin, Mapping) else inner  # keys are looked up
    return set().union(*(bare_numbers(part) for part in own))


@pytest.mark.parametrize(("kind", "key"), ANNOTATED, ids=lambda value: getattr(value, "__name__", value))
def test_bad_values_are_refused_in_a_sentence(kind: Any, key: str) -> None:
    annotation = ANNOTATED[kind, key]
    if key not in NO_RANGE and not (key == "image_side" and kind in (ALIGNERS.load(n) for n in ALIGNERS.names())):
        assert not bare_numbers(annotation), "a number without a range, see utils/ranges.py"
    known = CONSTRUCTORS.get(kind, Section({}, "part"))
    for what, value in BAD.items():
        section = Section({**known, key: value}, known.path, {known.path: "FILE.yaml"})
        given = set(inspect.signature(kind).parameters) - {*known, key}
        try:
            check_arguments(section, kind, given, others=others_of(known))
        except ConfigError as error:
            message = str(error)
            assert message.startswith(f"FILE.yaml: {section.key(key)}") and "must be" in message, (what, message)
            assert len(message) < 900 and "\n" not in message, (what, message)
            continue
        assert what not in NEVER_A_NUMBER or number_in(annotation) is None, (what, annotation)
        assert what not in NEVER_WHOLE or number_in(annotation) is not int, (what, annotation)


def number_in(annotation: Any) -> Any:
    """The type of number that an annotation stands for, if it does."""
    while typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    return annotation if annotation in (int, float) else None


SPECIAL = [
    ("method.betas=[0.9]", "method.betas", "2"),
    ("method.betas=[0.9,1.0]", "method.betas", "below 1"),
    ("method.edited_range=[0]", "method.edited_range", "2"),
    ("method.edited_range=[1,0]", "method.edited_range", "ascending"),
    ("method.flow.hidden=[-5,5]", "method.flow.hidden", "item 1 must be at least 1"),
    ("method.flow.hidden=[0]", "method.flow.hidden", "at least 1"),
    ("method.flow.tolerance=-1", "method.flow.tolerance", "above 0"),
    ("method.flow.tolerance=.nan", "method.flow.tolerance", "finite"),
    ("method.flow.name=realnvp", "method.flow.name", "continuous_flow"),
    ("method.semantic_encoder.name=reader", "method.semantic_encoder.name", "semantic_encoder"),
    ("method.learning_rate=0", "method.learning_rate", "above 0"),
    ("method.terms=[nll,nil]", "method.terms", "nll"),
    ("method.terms=[]", "method.terms", "nll"),
    ("training.threads=-1", "training.threads", "at least 0"),
    ("training.threads=99999", "training.threads", "at most"),
    ("training.workers=100000", "training.workers", "at most"),
    ("training.preview_images=0", "training.preview_images", "at least 1"),
    ("training.steps=[unclosed", "training.steps", "YAML"),
    ("training.steps=2024-13-45", "training.steps", "YAML"),
    ("training.steps=&a [*a]", "training.steps", "must be int"),
    ("training.seed=-1", "training.seed", "at least 0"),
    ("training.warmup_steps=-3", "training.warmup_steps", "at least 0"),
    ("training.loss_weights.mi=.nan", "training.loss_weights.mi", "finite"),
    ("training.loss_weights.mi=-1", "training.loss_weights.mi", "at least 0"),
    ("training.loss_weights.m=1", "training.loss_weights.m", "mi"),
    ("training.loss_weights={nll: 0, kd: 0, mi: 0, reg: 0}", "training.loss_weights", "nothing would learn"),
    ("domain.image_side=128", "domain.image_side", "made for images of another side"),
    ("data.faces.first=-3", "data.faces.first", "at least 0"),
    ("data.faces.correlation=.nan", "data.faces.correlation", "finite"),
    ("data.faces.correlation=2", "data.faces.correlation", "at most 1"),
    ("data.faces.side=0", "data.faces.side", "at least 8"),
    ("data.faces.split=trian", "data.faces.split", "'train'"),
    ("data.cache=", "data.cache", "str"),
    ("data.cache=''", "data.cache", "must be the name of a file or folder"),
    ("domain.precision=float16", "domain.precision", "bfloat16"),
    ("domain.synthesis_batch=0", "domain.synthesis_batch", "at least 1"),
    ("domain.generator.size=63", "domain.generator.size", "power of two"),
    ("domain.encoder.name=reader", "domain.encoder", "encoder"),
    ("domain.teacher=5", "domain.teacher", "section"),
    ("domain.weights_hint.x=5", "domain.weights_hint", "str"),
    ("run=''", "run", "not empty"),
    ("run.x=1", "run", "str"),
    ("1=2", "1", "section"),
    ("domain=configs/domains/nothing.yaml", "nothing.yaml", "no such"),
    ("domain=''", "", "cannot be read"),
    ("domain=5", "domain", "section"),
    ("training=5", "training", "section"),
]  # fmt: skip


@pytest.mark.parametrize(("override", "key", "allowed"), SPECIAL, ids=[override for override, *_ in SPECIAL])
def test_wrong_overrides_are_answered_in_one_sentence(
    override: str, key: str, allowed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = [f"{data}.faces.{value}" for data in ("data", "validation") for value in ("count=2", "cache=null")]
    options = ["--run", str(tmp_path / "run"), "--dry-run", "--device", "cpu"]
    words = ["--config", str(ROOT / AVATARS), *options, *few, override]
    assert train.main(words) == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("train.py: ") and key in message and allowed in message, message
    assert "\n" not in message and len(message) < 900


def test_faces_of_another_side_than_the_domains_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--config", str(ROOT / "configs/avatars/teacher.yaml"), "--run", str(tmp_path / "run"), "--device", "cpu"]
    assert train.main([*words, "domain.image_side=128", "--dry-run"]) == 2
    said = capsys.readouterr().err
    assert said == "train.py: data: faces of 64 pixels a side, but domain.image_side is 128\n"


@pytest.mark.parametrize("override", ["precision=bfloat16", "recompute_from=32", "synthesis_batch=4"])
def test_the_domain_is_overridden_in_a_new_run_and_in_one_that_goes_on(override: str, tmp_path: Path) -> None:
    new = train.read_config(train.parse_arguments(["--config", str(ROOT / AVATARS), f"domain.{override}"]))
    plain = train.read_config(train.parse_arguments(["--config", str(ROOT / AVATARS)])).plain()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")
    old = train.read_config(train.parse_arguments(["--resume", str(tmp_path), f"domain.{override}"]))
    key, value = override.split("=")
    for config in (new, old):
        assert str(getattr(Domain(config.section("domain")).settings, key)) == value
        assert config.section("domain").where(key) == f"command line: domain.{key}"


def commands() -> list[str]:
    """Scripts with options, found by themselves."""
    folders = [ROOT, *(ROOT / "scripts" / name for name in ("", "avatars", "benchmarks", "checks"))]
    scripts = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    made = re.compile(r"(ArgumentParser|CommandParser)\(")
    return [str(path.relative_to(ROOT)) for path in scripts if made.search(path.read_text("utf-8"))]


class Seen(Exception):
    """A command has made its parser."""


def parser_of(script: str, monkeypatch: pytest.MonkeyPatch) -> argparse.ArgumentParser:
    module = importlib.import_module(script.removesuffix(".py").replace("/", "."))

    def caught(parser: argparse.ArgumentParser, *_: object) -> None:
        raise Seen(parser)

    with monkeypatch.context() as patch, pytest.raises(Seen) as stop:
        patch.setattr(argparse.ArgumentParser, "parse_args", caught)
        patch.setattr(argparse.ArgumentParser, "parse_intermixed_args", caught)
        patch.setattr(sys, "argv", [script])
        module.main()
    parser: argparse.ArgumentParser = stop.value.args[0]
    return parser


@pytest.mark.parametrize("script", commands())
def test_an_option_with_a_value_is_given_once(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parser = parser_of(script, monkeypatch)
    for action in parser._actions:
        kept = type(action).__name__
        if action.option_strings and kept not in ("_HelpAction", "_StoreTrueAction", "_AppendAction"):
            space = argparse.Namespace()
            action(parser, space, "first", action.option_strings[-1])
            with pytest.raises(argparse.ArgumentError, match="is given twice"):
                action(parser, space, "second", action.option_strings[0])
            action(parser, argparse.Namespace(), "of another call", action.option_strings[0])


@pytest.mark.parametrize("words", [("--device", "cpu") * 2, ("training.steps=5", "training.steps=6"), ("run=x",) * 2])
def test_what_is_given_twice_is_refused(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        train.parse_arguments(["--config", AVATARS, *words])
    assert stop.value.code == 2 and "is given twice" in capsys.readouterr().err


TEXTS = (
    "", " ", "x", "-5", "0", "0.5", "1e30", "1" * 5000, "nan", "inf", "-inf", "[1]", "a\0b", "x" * 5000, "LICENSE/x",
    "LICENSE", "models", "ünïcode/日本", "~no-such-user/x", "\udcff", "loop", "/proc/1/mem/x",
)  # fmt: skip


@pytest.mark.parametrize("script", commands())
def test_bad_values_of_every_option_end_in_usage_errors(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = parser_of(script, monkeypatch)
    for action in parser._actions:
        if action.nargs == 0 or isinstance(action, argparse._HelpAction) or action.dest == "overrides":
            continue
        if script != "edit.py":
            assert action.type not in (int, float, str, Path), f"{action.dest}: a range or a check of utils.options"
            assert action.type or action.choices, f"{action.dest}: takes an empty text"
        for text in TEXTS:
            try:
                parser._get_values(action, [text] * (action.nargs if isinstance(action.nargs, int) else 1))
            except argparse.ArgumentError as error:
                assert len(str(error)) < 6000
                continue
            if script != "edit.py":
                assert text.strip() and "\0" not in text or action.dest == "cache", (action.dest, text)


