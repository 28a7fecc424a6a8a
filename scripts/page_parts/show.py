"""HTML of the page's pictures and numbers. Pictures travel inside it, so that no file of a user's is left anywhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote

from PIL import Image

from models.editing.studio import Edit, Face
from scripts.page_parts.workbench import Saved

_VIEW_SIDE = 768  # pixels of a picture on the screen
_MOVED = 0.1  # change of an attribute from which on it is pointed out


def data_uri(picture: Image.Image, side: int = _VIEW_SIDE) -> str:
    """The picture within an address: PNG where it is small, JPEG where it is not."""
    if max(picture.size) > side:
        picture = picture.copy()
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    kind = "png" if max(picture.size) <= 256 else "jpeg"
    picture.save(stream, kind, **({"compress_level": 1} if kind == "png" else {"quality": 90}))
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"


def viewer(before: Image.Image | None, after: Image.Image | None = None, blocked: bool = False) -> str:
    """Two pictures on top of each other, each with its name, and a handle that uncovers the one below.

    Args:
        blocked: the face must not be edited.
    """
    if before is None:
        return "<div class='sd-view sd-empty'>The face appears here.</div>"
    size = f"Saved face: {before.width} × {before.height} pixels."
    if after is None:
        unchanged = f"<img class='sd-after' alt='Face, not edited yet' src='{data_uri(before)}'><b>Not edited yet</b>"
        state = " sd-blocked" if blocked else ""
        return f"<div class='sd-view{state}'><div>{unchanged}</div></div><p class='sd-note sd-under'>{size}</p>"
    return (
        f"<div class='sd-view'><div><img alt='Face before the edit' src='{data_uri(before)}'><b>Before</b></div>"
        f"<div class='sd-over'><img class='sd-after' alt='Face after the edit' src='{data_uri(after)}'>"
        f"<b>After</b></div>"
        f"<input class='sd-cut' type='range' min='0' max='100' step='1' value='0' "
        f"aria-label='Share of the picture that shows the face before the edit'></div>"
        f"<p class='sd-note sd-under'>Pull ◂▸ to compare. Before: the face as the generator reproduces it. {size}</p>"
    )


def overview(face: Face, faces: Sequence[Face], chosen: int) -> str:
    """The photograph with all faces outlined; where there are several, each outline is a button."""
    picture = face.source.picture
    parts = []
    for index, one in enumerate(faces):
        left, top, right, bottom = one.found.box or _bounds(one)
        place = (100 * left / picture.width, 100 * top / picture.height)
        size = (100 * (right - left) / picture.width, 100 * (bottom - top) / picture.height)
        style = f"left:{place[0]:.2f}%;top:{place[1]:.2f}%;width:{size[0]:.2f}%;height:{size[1]:.2f}%"
        state = "true" if index == chosen else "false"
        parts.append(
            f"<button type='button' class='sd-face' data-pick='{index}' aria-pressed='{state}' "
            f"aria-label='Face {index + 1} of {len(faces)}' style='{style}'><b>{index + 1}</b></button>"
        )
    outlines = "".join(parts) if len(faces) > 1 else ""
    note = f"<p class='sd-note'>{len(faces)} faces found. Choose one.</p>" if len(faces) > 1 else ""
    return f"<div class='sd-photo'><img alt='Your photograph' src='{data_uri(picture, 560)}'>{outlines}</div>{note}"


def samples(pictures: Sequence[Image.Image], what: str = "Sample face") -> str:
    """Sample faces, each a button."""
    buttons = [
        f"<button type='button' data-pick='{index}' aria-label='{what} {index + 1}'>"
        f"<img alt='' src='{data_uri(picture, 96)}'></button>"
        for index, picture in enumerate(pictures)
    ]
    return f"<div class='sd-samples'>{''.join(buttons)}</div>" if buttons else ""


def second(picture: Image.Image | None) -> str:
    """The face whose parts, style or identity are taken."""
    if picture is None:
        return "<p class='sd-note'>No second face is chosen.</p>"
    return f"<p class='sd-second'><img alt='The second face' src='{data_uri(picture, 96)}'> is the second face.</p>"


def purposes(editors: Mapping[str, str]) -> str:
    """What editors are for, by their titles; equal lines once."""
    lines = [f"<b>{escape(title)}</b>: {escape(purpose)}" for title, purpose in editors.items() if purpose]
    return f"<p class='sd-note'>{'; '.join(lines)}.</p>" if lines else ""


def facts(face: Face, edit: Edit | None) -> str:
    """Estimates before and after, what else moved, and identity."""
    estimates, before = face.attributes, face.attributes_of_inversion
    after, asked = (edit.attributes, edit.request.described()) if edit else (before, {})
    rows = []
    for name, value in estimates.items():
        change = after[name] - before[name]
        state = "wanted" if name in asked else "moved" if abs(change) >= _MOVED else ""
        note = f" <small>set to {escape(asked[name])}</small>" if name in asked else ""
        note = note or (" <small>moved too</small>" if state else "")
        change_text = f"{round(change, 2) + 0.0:+.2f}" if edit else "–"
        rows.append(
            f"<tr class='{state}'><th scope='row'>{_shown(name)}{note}</th><td>{value:.2f}</td>"
            f"<td>{before[name]:.2f}</td><td>{after[name]:.2f}</td><td>{change_text}</td></tr>"
        )
    edited = f", the edited face <b>{edit.identity:.2f}</b>" if edit else ""
    identity = f"Same person as in the photo (1 = surely): the reconstruction <b>{face.identity:.2f}</b>{edited}."
    other = edit.request.measured(edit.result.embedding[0]).get("identity_to_other") if edit else None
    if other is not None:
        identity += f" Same person as the second face: the edited face <b>{other:.2f}</b>."
    head = "".join(f"<th scope='col'>{title}</th>" for title in ("", "photo", "reconstruction", "edited", "change"))
    if not rows:
        return f"<p class='sd-identity'>{identity}</p>"
    return (
        f"<p class='sd-identity'>{identity}</p>"
        f"<table class='sd-table'><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        f"<p class='sd-note'>Reconstruction: the face as the generator can draw it. Edits begin with it.</p>"
    )


def bars(before: Mapping[str, float], after: Mapping[str, float]) -> str:
    """The classifier's probabilities before and after, one row each."""
    rows = [
        f"<tr><th scope='row'>{_shown(name)}</th><td class='sd-bars'><i style='width:{100 * old:.1f}%'></i>"
        f"<i class='after' style='width:{100 * after[name]:.1f}%'></i></td>"
        f"<td>{100 * old:.0f} %</td><td>{100 * after[name]:.0f} %</td></tr>"
        for name, old in before.items()
    ]
    head = "<tr><th></th><th></th><th scope='col'>photo</th><th scope='col'>edited</th></tr>"
    return f"<table class='sd-table'><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def comparison(results: Sequence[tuple[str, Image.Image | str, float]]) -> str:
    """The same edit by several editors."""
    parts = []
    for title, result, identity in results:
        if isinstance(result, str):
            parts.append(f"<figure><p>{escape(result)}</p><figcaption>{escape(title)}</figcaption></figure>")
        else:
            caption = f"{escape(title)}<br>same person {identity:.2f}"
            image = f"<img alt='Edited by {escape(title, quote=True)}' src='{data_uri(result, 384)}'>"
            parts.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")
    note = ""
    if len(results) < 2:
        note = "<p class='sd-note'>Open the page with several <code>--checkpoint</code> to compare editors.</p>"
    return f"<div class='sd-compare'>{''.join(parts)}</div>{note}"


def downloads(saved: Saved, token: str) -> str:
    """Links to the files with their sizes, and the command that writes them."""
    links = "".join(
        f"<li><a download='{escape(name, quote=True)}' href='results/{token}/{quote(name)}'>{escape(what)}</a> "
        f"<span>{' × '.join(map(str, saved.sizes[what]))} pixels, {escape(name)}</span></li>"
        for what, name in saved.files.items()
    )
    problem = message(saved.problem) if saved.problem else ""
    return (
        f"{problem}<p class='sd-next'>The files are made. Click one to download it:</p>"
        f"<ul class='sd-files'>{links}</ul>"
        f"<p class='sd-note'>The same files, byte for byte, from the command line:</p>"
        f"<pre class='sd-command'>{escape(saved.command)}</pre>"
        f"<p class='sd-note'>Each file states in its metadata that it was edited, how and with what.</p>"
    )


def message(text: str) -> str:
    """A sentence that needs attention; nothing if there is none."""
    return f"<p class='sd-message' role='alert'>{escape(text)}</p>" if text else ""


def _shown(name: str) -> str:
    return escape(name.replace("_", " "))


def _bounds(face: Face) -> tuple[float, float, float, float]:
    corners = face.frame.corners()
    return (*corners.min(0), *corners.max(0))
