"""The manifest: what it may say, what the configs expect of it, and the checksums that are recorded beside it."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
import yaml

from models.domain import PARTS, Domain
from models.encoders.psp import GradualStyleEncoder
from models.stylegan2.generator import Generator
from scripts.download import parse_arguments
from utils.config import ConfigError
from utils.integrity import Expected
from utils.manifest import SHIPPED_MANIFEST, Address, Manifest, Records, download_hint
from utils.paths import ROOT
from utils.weights import WeightsError, load_weights

SHIPPED = Manifest(SHIPPED_MANIFEST)
ENTRY = {
    "what": "a network",
    "by": "somebody",
    "licence": "theirs",
    "destination": "nets/net.pt",
    "sources": [{"url": "https://example.org/net.pt"}],
}
DRIVE_ID = "1cUv_reLE6k3604or78EranS7XzuVMWeO"


def manifest(folder: Path, files: object = None, groups: object = None) -> Manifest:
    path = folder / "manifest.yaml"
    values = {"files": {"net": ENTRY} if files is None else files, **({"groups": groups} if groups else {})}
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return Manifest(path)


@pytest.mark.parametrize(
    ("name", "files"), [("ffhq", ["ffhq"]), ("ffhq_3", ["ffhq"]), ("ffhq_s2flow", ["ffhq", "s2flow-parser"]),
     ("ffhq_256", ["stylegan2-ffhq-256", "classifier-r34", "classifier-r50", "ir-se50"]),
     ("ffhq_256_wpp", ["wplusplus-generator", "wplusplus-psp", "classifier-r34", "classifier-r50", "ir-se50"])],
)
def test_the_domain_finds_what_the_manifest_brings(name: str, files: list[str]) -> None:
    domain = Domain.from_file(f"configs/domains/{name}.yaml")
    wanted = {domain.weights_path(part) for part in PARTS if domain.has(part)}
    assert wanted == {file.destination for file in SHIPPED.chosen(files)}
    calls = re.findall(r"'python scripts/download\.py ([^']*)'", domain.settings.weights_hint)
    assert len(calls) == 2
    for call in calls:
        names = parse_arguments(call.split()).names
        assert {file.destination for file in SHIPPED.chosen(names)} >= wanted


@pytest.mark.parametrize("part", [part for part in PARTS if Domain.from_file("configs/domains/ffhq.yaml").has(part)])
def test_a_missing_file_is_named_with_the_call_that_brings_it(part: str) -> None:
    domain = Domain.from_file("configs/domains/ffhq.yaml")
    if domain.weights_path(part).is_file():
        pytest.skip("it is here")
    expected = re.escape(f"{domain.weights_path(part).name}: no such weight file; 'python scripts/download.py ffhq'")
    with pytest.raises(WeightsError, match=f"pretrained/ffhq/{expected}"):
        getattr(domain, part)


def test_a_missing_public_file_is_recognised_without_a_config(tmp_path: Path) -> None:
    call = r"'python scripts/download\.py sdflow-prior' fetches it to pretrained/ffhq/prior-0010000"
    with pytest.raises(WeightsError, match=call):
        load_weights(tmp_path / "prior-0010000")
    assert all(file.name in download_hint(file.destination) for file in SHIPPED.files.values())
    assert download_hint(tmp_path / "my-own.safetensors") == ""
    with pytest.raises(WeightsError, match=r"my-own\.safetensors: no such weight file$"):
        load_weights(tmp_path / "my-own.safetensors")


def test_reading_weights_loads_no_download_machinery(tmp_path: Path) -> None:
    code = (
        "import sys, torch, safetensors.torch; before = set(sys.modules)\n"  # PyTorch itself loads urllib
        "import utils.weights; utils.weights.save_weights(sys.argv[1], {'a': torch.ones(2)}, {})\n"
        "utils.weights.load_weights(sys.argv[1]); print(*set(sys.modules) - before)"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "a.safetensors")]
    loaded = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout.split()
    assert "utils.weights" in loaded
    machinery = ("gdown", "requests", "urllib3", "http", "filelock", "yaml", "utils.manifest", "utils.download")
    assert not [name for name in loaded if name.startswith(machinery)]


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("classifier-r34", "attribute_classifier_r34"),
        ("classifier-r50", "attribute_classifier_r50"),
        ("iresnet34", "iresnet34"),
        ("sdflow-prior", "sdflow_cnf_3"),
        ("sdflow-labeldist", "semantic_estimator_r34"),
        ("ir-se50", "arcface_ir_se50"),
        ("s2flow-checkpoint", "s2flow_edits"),
        ("s2flow-parser", "s2flow_segmentor"),
        ("id-swap-encoder", "id_swap_encoder"),
        ("id-swap-mapper", "id_swap_mapper"),
        ("mobilefacenet", "id_swap_landmarks"),
    ],
)
def test_sizes_are_those_of_the_published_shapes(name: str, case: str) -> None:
    shapes = json.loads((ROOT / f"tests/golden/{case}.json").read_text(encoding="utf-8"))["shapes"]
    size = 4 * sum(math.prod(shape) for shape in shapes.values())
    assert SHIPPED.files[name].megabytes == pytest.approx(size / 1e6, rel=0.01)


def test_sizes_of_the_networks_of_w_plus_plus() -> None:
    constants = json.loads((ROOT / "tests/golden/wpp_interfacegan.json").read_text(encoding="utf-8"))["constants"]
    with torch.device("meta"):
        generator, encoder = Generator(256, mapping_network="transformer"), GradualStyleEncoder(256, 14)
    sizes = [4e-6 * sum(tensor.numel() for tensor in one.state_dict().values()) for one in (generator, encoder)]
    assert SHIPPED.files["wplusplus-generator"].megabytes == pytest.approx(sizes[0], rel=0.01)
    assert SHIPPED.files["wplusplus-psp"].megabytes == pytest.approx(sum(sizes), rel=0.01)
    shapes = constants["dex_age_shapes"]
    for name, differing in (("dex-age", {}), ("dex-gender", constants["dex_gender_differs"])):
        size = 4e-6 * sum(math.prod(shape) for shape in (shapes | differing).values())
        assert SHIPPED.files[name].megabytes == pytest.approx(size, rel=0.01)


def test_sizes_of_the_networks_at_1024() -> None:
    domain = Domain.from_file("configs/domains/ffhq.yaml")
    with torch.device("meta"):  # shapes without numbers
        states = [domain.untrained(part).state_dict() for part in ("generator", "encoder")]
    generator, encoder = (4e-6 * sum(tensor.numel() for tensor in state.values()) for state in states)
    assert SHIPPED.files["stylegan2-ffhq"].megabytes == pytest.approx(generator, rel=0.01)
    assert SHIPPED.files["e4e-ffhq"].megabytes == pytest.approx(encoder + generator, rel=0.01)


def test_no_checksum_is_claimed_that_nobody_published() -> None:
    assert all(file.sha256 is None and file.size is None for file in SHIPPED.files.values())
    assert all(file.what and file.by and file.licence and file.pages for file in SHIPPED.files.values())


def test_ids_of_the_issue_are_there() -> None:
    urls = {name: [address.url for address in file.addresses] for name, file in SHIPPED.files.items()}
    for name, identity in (
        ("e4e-ffhq", DRIVE_ID),
        ("stylegan2-ffhq", "1EM87UquaoQmk17Q8d5kYIAHqu0dkYqdT"),
        ("ir-se50", "1KW7bjndL3QG3sxBbZxreGHigcCCpsDgn"),
    ):
        assert all(f"id={identity}" in url for url in urls[name][:2])
    folders = "https://drive.google.com/drive/folders/"
    assert f"{folders}1bOObaXE-zY_7-pXNyuTnhKvkn1wCqkaT" in SHIPPED.files["sdflow-prior"].pages
    assert f"{folders}1T5y6l5Byl4pDzFCcDRXDOmmXde2HGg5U" in SHIPPED.files["classifier-r50"].pages


def test_every_file_of_the_ffhq_setting_can_be_fetched_by_the_command() -> None:
    assert all(file.addresses for file in SHIPPED.chosen(["ffhq", "sdflow"]))


def test_git_ignores_every_destination() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"pretrained/ffhq/*", "pretrained/checksums.json", "pretrained/.checksums.lock"} <= set(ignored)
    assert {file.destination.parent for file in SHIPPED.files.values()} == {ROOT / "pretrained/ffhq"}


def test_addresses_in_order(tmp_path: Path) -> None:
    sources = [{"url": "https://a.org/n"}, {"drive": DRIVE_ID}, {"page": "https://b.org"}, {"url": "http://c.org/n"}]
    file = manifest(tmp_path, {"net": ENTRY | {"sources": sources}}).files["net"]
    assert [address.url.split("/")[2] for address in file.addresses] == [
        "a.org", "drive.usercontent.google.com", "drive.google.com", "c.org",
    ]  # fmt: skip
    assert all(DRIVE_ID in address.url for address in file.addresses[1:3])
    assert file.pages[-2:] == ("https://b.org", "http://c.org/n")
    assert file.destination == tmp_path / "nets/net.pt" and file.published == ("net.pt",)


@pytest.mark.parametrize("ending", ["", "?usp=sharing", "?resourcekey=0-Ab&usp=drive_link"])
def test_a_folder_is_given_by_id_or_address(tmp_path: Path, ending: str) -> None:
    url = f"https://drive.google.com/drive/folders/{DRIVE_ID}"
    for source in (DRIVE_ID, url + ending):
        entry = ENTRY | {"sources": [{"folder": source}], "published": ["a.pt", "b.pt"]}
        file = manifest(tmp_path, {"net": entry}).files["net"]
        assert file.addresses == (Address(url, ("a.pt", "b.pt")),) and file.pages == (url,)


def test_names_and_groups(tmp_path: Path) -> None:
    files = {name: ENTRY | {"destination": f"{name}.pt"} for name in ("a", "b", "c")}
    some = manifest(tmp_path, files, {"two": {"what": "both", "files": ["c", "a"]}})
    assert [file.name for file in some.chosen(["b", "two", "a", "b"])] == ["b", "c", "a"]
    with pytest.raises(ConfigError, match="no file or group 'tow'; did you mean 'two'"):
        some.chosen(["tow"])


@pytest.mark.parametrize(
    "destination",
    ["../net.pt", "nets/../../net.pt", "/tmp/net.pt", "C:/net.pt", "C:net.pt", "\\net.pt", "nets\\..\\..\\net.pt", "",
     ".", "//host/net.pt", "nets/.hidden"],
)  # fmt: skip
def test_destinations_stay_inside_the_folder(tmp_path: Path, destination: str) -> None:
    with pytest.raises(ConfigError, match=r"files\.net\.destination: .* is no file inside"):
        manifest(tmp_path, {"net": ENTRY | {"destination": destination}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wat": 1}, "has no such key; did you mean 'what'"),
        ({"size": "big"}, "must be int"),
        ({"size": 0}, "must be at least 1"),
        ({"megabytes": -1}, "must be above 0"),
        ({"sha256": "abc"}, "has 64 hexadecimal digits"),
        ({"sha256": "G" * 64}, "has 64 hexadecimal digits"),
        ({"sources": [{"url": "file:///etc/passwd"}]}, "is no http or https address"),
        ({"sources": [{"url": "ftp://a.org/x"}]}, "is no http or https address"),
        ({"sources": [{"url": "http://[::1"}]}, "is no http or https address"),
        ({"sources": [{"drive": "1a/../2"}]}, "is no Google Drive id of a file"),
        ({"sources": [{"folder": "https://example.org/folders/1bOObaXE"}]}, "is no Google Drive id of a folder"),
        ({"sources": [{"drive": DRIVE_ID, "url": "https://a.org"}]}, "each source is one of"),
        ({"sources": [{"torrent": "x"}]}, "a source is no 'torrent'"),
        ({"published": ["../net.pt"]}, "is not the plain name of a file"),
        ({"published": ["a\\net.pt"]}, "is not the plain name of a file"),
    ],
)
def test_entries_that_cannot_be_used(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"manifest\.yaml: files\.net.*{message}"):
        manifest(tmp_path, {"net": {**ENTRY, **change}})


@pytest.mark.parametrize(
    ("files", "groups", "message"),
    [
        ({"net": {key: ENTRY[key] for key in ENTRY if key != "licence"}}, None, "needs the key 'licence'"),
        ({"net": ENTRY, "other": ENTRY}, None, "same destination as 'net'"),
        ({"net": ENTRY}, {"some": {"what": "x", "files": ["nett"]}}, "no such file 'nett'; did you mean 'net'"),
        ({"net": ENTRY}, {"net": {"what": "x", "files": ["net"]}}, "has this name already"),
        ({"net": ENTRY}, {"some": {"files": ["net"]}}, "a group has 'what'"),
        ([], None, "must be a section"),
    ],
)
def test_manifests_that_cannot_be_used(tmp_path: Path, files: object, groups: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        manifest(tmp_path, files, groups)


def test_a_record_is_made_once_and_verified_against(tmp_path: Path) -> None:
    some = manifest(tmp_path)
    records, file = Records(some), some.files["net"]
    assert records.expected(file).sha256 is None
    records.add(file, 3, "ab" * 32, "https://example.org/net.pt")
    records.add(file, 4, "cd" * 32, "elsewhere")
    known = Records(some).expected(file)
    assert (known.size, known.sha256) == (3, "ab" * 32) and known.said_by.endswith("checksums.json")
    assert json.loads((tmp_path / "checksums.json").read_text())["nets/net.pt"]["from"] == "https://example.org/net.pt"


def test_a_published_checksum_is_worth_more_than_a_recorded_one(tmp_path: Path) -> None:
    some = manifest(tmp_path, {"net": ENTRY | {"sha256": "12" * 32}})
    records, file = Records(some), some.files["net"]
    records.add(file, 3, "ab" * 32, "somewhere")
    assert records.expected(file) == Expected(None, "12" * 32)


def test_records_made_at_once_are_all_kept(tmp_path: Path) -> None:
    some = manifest(tmp_path, {f"net{i}": ENTRY | {"destination": f"net{i}.pt"} for i in range(12)})
    threads = [
        threading.Thread(target=Records(some).add, args=(file, 1, "ab" * 32, "x")) for file in some.files.values()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(json.loads((tmp_path / "checksums.json").read_text())) == 12
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.yaml", "checksums.json", ".checksums.lock"}


@pytest.mark.parametrize("text", ["", "[]", '{"nets/net.pt": 3}', '{"nets/net.pt": {"size": 1, "sha256": "x"}}'])
def test_records_that_cannot_be_read_are_named(tmp_path: Path, text: str) -> None:
    some = manifest(tmp_path)
    (tmp_path / "checksums.json").write_text(text)
    with pytest.raises(ConfigError, match=r"checksums\.json: .*move it away"):
        Records(some).expected(some.files["net"])
