"""One slider for each attribute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import gradio as gr

from models.editing.requests.attributes import AttributeRequest, sweep_values
from models.editing.requests.base import RequestError
from models.editing.studio import Face, Studio
from models.editors.targets import SetTo, Target
from scripts.page_parts.panels.base import Asked, Controls, Faces, Panel, Series

LOW, HIGH = -0.5, 1.5  # of the sliders; estimates outside are shown at the end
_STEP = 0.01
_LEGEND = (
    "<p class='sd-note'><i class='sd-within'></i> from 0 = absent to 1 = present; <i class='sd-beyond'></i> beyond is "
    "exaggeration; <i class='sd-estimate'></i> is what the editor sees in your photo.</p>"
)


class AttributePanel(Panel):
    """Sliders in attribute units, from the estimate to wherever they are pulled."""

    kind: ClassVar[str] = "attributes"
    title: ClassVar[str] = "Attributes"
    purpose: ClassVar[str] = "attributes by sliders"

    def build(self, studio: Studio, prefix: str) -> Controls:
        names = studio.attributes
        gr.HTML(_LEGEND)
        sliders = [
            gr.Slider(
                *(LOW, HIGH, 0.5),
                step=_STEP,
                label=shown(name),
                elem_id=f"{prefix}-{index}",
                elem_classes="sd-slider",
                buttons=[],
            )
            for index, name in enumerate(names)
        ]
        strength = gr.Slider(
            *(0, 2, 1),
            step=0.05,
            label="Strength of all changes",
            elem_id=f"{prefix}-all",
            elem_classes="sd-plain",
            buttons=[],
        )
        mark = gr.HTML("", elem_id=f"{prefix}-marks")
        reset = gr.Button("Reset", size="sm", elem_id=f"{prefix}-reset")
        with gr.Accordion("Sweep: one attribute step by step", open=False):
            which = gr.Dropdown([(shown(name), name) for name in names], value=names[0], label="Attribute")
            with gr.Row():
                first = gr.Number(-0.2, label="From", step=0.1, min_width=70)
                last = gr.Number(1.2, label="To", step=0.1, min_width=70)
                count = gr.Number(7, label="Pictures", precision=0, minimum=2, maximum=15, min_width=70)
            button = gr.Button("Make the sweep", size="sm", elem_id=f"{prefix}-sweep")

        def targets(face: Face, values: Sequence[float]) -> dict[str, Target]:
            return wanted(face, dict(zip(names, values[:-1], strict=True)), values[-1])

        def asked(faces: Faces, *values: float) -> Asked:
            found = targets(faces.face, values)
            return Asked(AttributeRequest.of(found), set_words(found)) if found else Asked()

        def series(faces: Faces, *values: float) -> tuple[list[AttributeRequest], list[str]]:
            name, start, end, steps = values[-4:]
            if name not in names:
                raise RequestError("choose an attribute")
            common = {other: target for other, target in targets(faces.face, values[:-4]).items() if other != name}
            positions = sweep_values(number(start), number(end), int(number(steps)))
            requests = [AttributeRequest.of({**common, str(name): SetTo(value)}) for value in positions]
            return requests, [*set_words(common), "--sweep", f"{name}={number(start):g}:{number(end):g}:{int(steps)}"]

        def start(face: Face) -> Sequence[object]:
            estimates = [at_step(face.attributes[name]) for name in names]
            return [*estimates, 1.0, marks(prefix, estimates)]

        inputs = [*sliders, strength]
        return Controls(
            inputs=inputs,
            changes=[slider.input for slider in inputs],
            asked=asked,
            start=start,
            mark=mark,
            reset=reset.click,
            series=Series(button.click, [which, first, last, count], series),
        )


PANEL = AttributePanel()


def wanted(face: Face, values: dict[str, float], strength: float) -> dict[str, Target]:
    """Targets of the attributes whose sliders do not stand at their estimates.

    Args:
        strength: times the way from the estimate.
    """
    targets: dict[str, Target] = {}
    for name, given in values.items():
        estimate, value = at_step(face.attributes[name]), number(given)
        if abs(value - estimate) > _STEP / 2:
            targets[name] = SetTo(round(estimate + number(strength) * (value - estimate), 3))
    return targets


def number(given: object) -> float:
    """A finite number of moderate size.

    Raises:
        RequestError: anything else.
    """
    if isinstance(given, int | float) and abs(given) <= 100:  # false for what is not a number
        return float(given)
    raise RequestError(f"'{given}' is no number between -100 and 100")


def at_step(value: float) -> float:
    """The position of a slider nearest to a value."""
    return round(min(max(value, LOW), HIGH), 2)


def set_words(targets: dict[str, Target]) -> list[str]:
    """Options of edit.py for these targets."""
    pairs = [(name, target.value) for name, target in targets.items() if isinstance(target, SetTo)]
    return [word for name, value in pairs for word in ("--set", f"{name}={value:g}")]


def marks(prefix: str, estimates: Sequence[float]) -> str:
    """Style that puts the estimates' marks on the sliders."""
    rules = [
        f"#{prefix}-{index} {{ --estimate: {(value - LOW) / (HIGH - LOW):.3f}; }}"
        for index, value in enumerate(estimates)
    ]
    return f"<style>{' '.join(rules)}</style>"


def shown(name: str) -> str:
    """An attribute's name for people."""
    return name.replace("_", " ")
