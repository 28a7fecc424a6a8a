"""Files and folders on Google Drive: its pages, recorded in shape, come from a server on loopback."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from scripts.download import main
from tests.utils.loopback import Handler, Offer, Route, Server, archive, page, serving, status
from utils.download import DownloadError, Patience, Report, fetch
from utils.manifest import SHIPPED_MANIFEST, Address, Manifest, drive_addresses

FAST = Patience(timeout=2, attempts=2, pause=0.01)
DATA, OTHER = archive(1), archive(2)
FOLDER, BELOW = "1T5y6l5Byl4pDzFCcDRXDOmmXde2HGg5U", "1bOObaXE-zY_7-pXNyuTnhKvkn1wCqkaT"
R34, R50 = "1EM87UquaoQmk17Q8d5kYIAHqu0dkYqdT", "1KW7bjndL3QG3sxBbZxreGHigcCCpsDgn"
E4E = "1cUv_reLE6k3604or78EranS7XzuVMWeO"
DOWNLOAD = "https://drive.usercontent.google.com/download"

CONFIRM_PAGE = """<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>
<p class="uc-warning-caption">Google Drive can't scan this file for viruses.</p>
<form id="download-form" action="{action}" method="get">
<input type="submit" id="uc-download-link" value="Download anyway"/><input type="hidden" name="id" value="{id}">
<input type="hidden" name="export" value="download"><input type="hidden" name="confirm" value="t">
<input type="hidden" name="uuid" value="7f-0"></form></body></html>""".replace("\n<input", "<input")
QUOTA_PAGE = """<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>
<p class="uc-error-caption">Sorry, you can&#39;t view or download this file at this time.</p>
<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently.</p></body></html>"""
FOLDER_PAGE = """<!DOCTYPE html><html><head><title>{title}</title></head><body><div class="flip-entries">{entries}</div>
</body></html>"""
ENTRY = """<div class="flip-entry" id="entry-{id}" tabindex="0" role="link"><div class="flip-entry-info">
<a href="{url}" target="_blank"><div class="flip-entry-visual"></div><div class="flip-entry-title">{name}</div></a>
</div><div class="flip-entry-last-modified"><div>5/17/23</div></div></div>"""


def folder_page(title: str, files: dict[str, str], folders: dict[str, str] | None = None) -> Route:
    """The page of a folder: ids and names of the files and folders in it."""
    entries = [(name, id, f"https://drive.google.com/file/d/{id}/view?usp=drive_web") for id, name in files.items()]
    entries += [(name, id, f"https://drive.google.com/drive/folders/{id}") for id, name in (folders or {}).items()]
    text = "".join(ENTRY.format(name=name, id=id, url=url) for name, id, url in entries)
    return page(FOLDER_PAGE.format(title=title, entries=text))


def by_id(**routes: Route) -> Route:
    """A route for each value of `id` in the query."""
    return lambda handler: routes.get(parse_qs(urlsplit(handler.path).query)["id"][0], status(404))(handler)


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server in the place of all hosts."""
    monkeypatch.setenv("no_proxy", "*")
    send = requests.adapters.HTTPAdapter.send

    def redirected(self: Any, request: requests.PreparedRequest, *values: Any, **keywords: Any) -> requests.Response:
        original = str(request.url)
        parts = urlsplit(original)
        request.url = server.url(f"{parts.path}?{parts.query}")
        response = send(self, request, *values, **keywords)
        response.url = request.url = original
        return response

    with serving() as server:
        monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", redirected)
        yield server


def refusal(addresses: tuple[Address, ...], folder: Path) -> str:
    with pytest.raises(DownloadError) as caught:
        fetch(addresses, folder / "net.pt", patience=FAST)
    assert not (folder / "net.pt").exists() and "\n" not in str(caught.value)
    return str(caught.value)


def test_the_direct_address_needs_no_confirmation(drive: Server, tmp_path: Path) -> None:
    drive.routes["/download"] = Offer(DATA)
    fetched = fetch(drive_addresses(R34), tmp_path / "net.pt", patience=FAST)
    assert fetched.sha256 == hashlib.sha256(DATA).hexdigest()
    assert {path for path, _ in drive.requests} == {f"/download?id={R34}&export=download&confirm=t"}


def test_the_confirmation_page_is_answered(drive: Server, tmp_path: Path) -> None:
    large, seen = archive(1, size=2_000_000), []
    file = Offer(large, drops=[600_000])

    def download(handler: Handler) -> None:
        confirmed = "uuid=7f-0" in handler.path
        seen.append(confirmed)
        (file if confirmed else status(403))(handler)

    drive.routes = {"/uc": page(CONFIRM_PAGE.format(action=DOWNLOAD, id=R34)), "/download": download}
    fetch(drive_addresses(R34), tmp_path / "net.pt", patience=FAST)
    assert (tmp_path / "net.pt").read_bytes() == large
    assert seen[:2] == [False, True] and drive.resumed() == [524_288]


def test_a_page_that_asks_again_and_again_is_given_up(drive: Server, tmp_path: Path) -> None:
    drive.routes["/uc"] = page(CONFIRM_PAGE.format(action="https://drive.google.com/uc", id=R34))
    assert "web page ('Google Drive - Virus scan warning')" in refusal(drive_addresses(R34)[1:], tmp_path)
    assert len(drive.requests) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (QUOTA_PAGE, "offers no file: Too many users have viewed or downloaded this file recently."),
        ("<html><title>Sign in</title>", "offers no file: Cannot retrieve the public link of the file."),
        (CONFIRM_PAGE.format(action="file:///etc/passwd", id=R34), "cannot be asked: No connection adapters"),
        ('<html><form id="download-form">', "answers in a form that gdown does not know"),
    ],
    ids=["quota", "sign in", "local file", "unknown form"],
)
def test_pages_without_a_file(drive: Server, tmp_path: Path, text: str, reason: str) -> None:
    drive.routes["/uc"] = page(text)
    assert reason in refusal(drive_addresses(R34)[1:], tmp_path)


def test_a_file_is_found_in_a_folder_by_its_name(drive: Server, tmp_path: Path) -> None:
    top = folder_page("AdaTrans", {"0" * 33: "readme.txt"}, {BELOW: "classifiers"})
    below = folder_page("classifiers", {R34: "r34.pth", R50: "r50.pth"})
    drive.routes = {
        "/embeddedfolderview": by_id(**{FOLDER: top, BELOW: below}),
        "/download": by_id(**{R34: Offer(DATA), R50: Offer(OTHER)}),
    }
    address = Address(f"https://drive.google.com/drive/folders/{FOLDER}", ("resnet50.pth", "r50.pth"))
    fetched = fetch([address], tmp_path / "net.pt", patience=FAST)
    assert (tmp_path / "net.pt").read_bytes() == OTHER and R50 in fetched.url


@pytest.mark.parametrize(
    ("listing", "reason"),
    [
        (folder_page("A", {R34: "r101.pth"}), "holds no file r34.pth (it holds r101.pth)"),
        (folder_page("A", {}), "holds no file r34.pth (it holds nothing)"),
        (folder_page("A", {R34: "r34.pth", R50: "r34.pth"}), "holds several files r34.pth"),
        (status(404), "Failed to retrieve folder contents"),
        (page("<html><body>nothing of the kind</body></html>"), "Failed to parse folder contents"),
    ],
    ids=["other names", "empty", "twice", "gone", "another page"],
)
def test_a_folder_without_the_file_leads_to_the_next_address(
    drive: Server, tmp_path: Path, listing: Route, reason: str
) -> None:
    drive.routes = {"/embeddedfolderview": listing, "/download": Offer(DATA)}
    folder = Address(f"https://drive.google.com/drive/folders/{FOLDER}", ("r34.pth",))
    assert reason in refusal((folder,), tmp_path)
    said: list[str] = []
    fetch([folder, *drive_addresses(R50)], tmp_path / "net.pt", patience=FAST, report=Report(say=said.append))
    assert reason in said[-1] and "trying the next address" in said[-1]


def test_one_command_fetches_everything_for_sdflow_on_ffhq(
    drive: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "manifest.yaml").write_bytes(SHIPPED_MANIFEST.read_bytes())
    files = Manifest(tmp_path / "manifest.yaml").chosen(["ffhq", "sdflow"])
    contents = {file: Offer(archive(number, size=1000)) for number, file in enumerate(files)}
    ids = {f"{number:033}": file for number, file in enumerate(files)}
    direct = {id: file for file in files for id in (R34, E4E) if id in file.addresses[0].url}
    drive.routes = {
        "/embeddedfolderview": folder_page("all", {id: file.destination.name for id, file in ids.items()}),
        "/download": by_id(**{id: contents[file] for id, file in (ids | direct).items()}),
        **{urlsplit(file.addresses[0].url).path: contents[file] for file in files if file.name == "iresnet34"},
    }
    words = ["ffhq", "sdflow", "--manifest", str(tmp_path / "manifest.yaml"), "--attempts", "1"]
    assert main(words) == 0
    assert "7 of 7 files exist and are right" in capsys.readouterr().out
    assert all(file.destination.read_bytes() == offer.data for file, offer in contents.items())

    (tmp_path / "ffhq/prior-0010000").unlink()
    drive.routes["/download"] = drive.routes["/uc"] = page(QUOTA_PAGE)
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "Too many users have viewed or downloaded" in said
    assert f"open https://drive.google.com/drive/folders/{BELOW} or https://pan.baidu.com" in said
    assert "save prior-0010000, then run 'python scripts/download.py sdflow-prior --from FOLDER'" in said
