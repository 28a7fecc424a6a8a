"""What a caller from Python asks for, as a request."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from models.editing.given_masks import OneMask
from models.editing.inversion import Inversion
from models.editing.pipeline import EditingPipeline
from models.editing.requests import identity as identities
from models.editing.requests.attributes import AttributeRequest
from models.editing.requests.base import JointRequest, Request, RequestError
from models.editing.requests.mask import MaskRequest
from models.editing.requests.style import StyleRequest, checked_share
from models.editing.wanted import Wanted, target_of
from models.editors.base import AttributeEditor, identity_editor, mask_editor
from utils.images import to_pillow

Asked = Request | Mapping[str, Wanted]
FaceOf = Callable[[str, Any], Inversion]  # the face that a keyword is given, inverted, with one row


def request_of(
    pipeline: EditingPipeline,
    asked: Asked | None,
    targets: Mapping[str, Wanted],
    others: Mapping[str, Any],
    face_of: FaceOf,
) -> Request:
    """The request that the arguments of `Studio.edit` stand for.

    Args:
        targets: attribute → what is wanted of it.
        others: values of the keywords `mask`, `style` and `identity`; None where one is not given.
    Raises:
        RequestError: nothing is asked for, or something that the editor does not take.
        PhotoError: a mask or another picture cannot be used.
    """
    others = {name: value for name, value in others.items() if value is not None}
    if isinstance(asked, Request):
        if named := [*others, *targets]:
            raise RequestError(f"a request and {', '.join(named)} at once; choose one")
        return asked
    if not isinstance(asked or {}, Mapping):
        form = "a mapping such as {'Smiling': 1}, a request or keywords"
        raise RequestError(f"an edit is {form}, not {asked!r:.60}")
    if twice := set(asked or {}) & set(targets):
        raise RequestError(f"attribute '{min(twice)}' is named twice")
    wanted = {**(asked or {}), **targets}
    if not others:
        return _of_attributes(pipeline, wanted)
    if wanted:
        raise RequestError(f"attributes and {', '.join(others)} at once; choose one")
    for name in others:
        if name not in pipeline.editor.requests:
            raise RequestError(f"this editor takes no {name} requests; it takes: {_taken(pipeline)}")
    kinds = {"mask": _of_mask, "style": _of_style, "identity": _of_identity}
    parts = tuple(kinds[name](pipeline, value, face_of) for name, value in others.items())
    return parts[0] if len(parts) == 1 else JointRequest(parts)


def _taken(pipeline: EditingPipeline) -> str:
    return ", ".join(pipeline.editor.requests)


def _of_attributes(pipeline: EditingPipeline, wanted: Mapping[str, Wanted]) -> Request:
    editor = pipeline.editor
    if not isinstance(editor, AttributeEditor):
        if not wanted:
            raise RequestError(f"no edit is asked for; this editor takes: {_taken(pipeline)}")
        raise RequestError(f"this editor takes no attribute requests; it takes: {_taken(pipeline)}")
    if not wanted:
        raise RequestError(f"no edit is asked for; this editor has the attributes {', '.join(editor.attributes)}")
    for name in wanted:
        if not isinstance(name, str):
            raise RequestError(f"attribute: must be a name, not {name!r:.60}")
    return AttributeRequest.of({name: target_of(name, value) for name, value in wanted.items()})


def _of_mask(pipeline: EditingPipeline, mask: Any, face_of: FaceOf) -> Request:
    return MaskRequest(OneMask.read(mask, mask_editor(pipeline.editor).mask_side))


def _of_style(pipeline: EditingPipeline, style: Any, face_of: FaceOf) -> Request:
    if not isinstance(style, list | tuple) or len(style) != 2:
        raise RequestError(f"style: must be a pair (face or picture, share of its style), not {style!r:.60}")
    other, share = style
    face = face_of("style", other)
    return StyleRequest.of(face.rest[0], checked_share(share, f"style {share!r:.60}"))


def _of_identity(pipeline: EditingPipeline, identity: Any, face_of: FaceOf) -> Request:
    pair = isinstance(identity, list | tuple)
    if pair and len(identity) != 2:
        raise RequestError(f"identity: must be a face or picture, or a pair of it and a share, not {identity!r:.60}")
    other, share = identity if pair else (identity, 1.0)
    share = identities.checked_share(share, f"identity {share!r:.60}")
    if isinstance(other, str) and other.startswith(identities.RANDOM):
        whose = identities.Other.random(other, identity_editor(pipeline.editor).identity_dim)
        return identities.IdentityRequest.of(whose, share)
    face = face_of("identity", other)
    digest = hashlib.sha256(face.image.cpu().numpy().tobytes()).hexdigest()[:16]
    whose = identities.Other(face.condition[0], "", f"face {digest}", face.embedding[0], to_pillow(face.image[0]))
    return identities.IdentityRequest.of(whose, share)
