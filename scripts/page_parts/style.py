"""How the page looks, in light and dark, and the little that runs in the browser."""

from __future__ import annotations

CSS = """
.gradio-container, :root .gradio-container { overflow: clip !important; }
.gradio-container > main { max-width: 1200px !important; margin: 0 auto !important; }
.html-container { padding: 0 !important; }
.sd-note { color: var(--sd-quiet); font-size: var(--text-sm); margin: 2px 0; }
.sd-message { border-left: 4px solid #d97706; background: var(--block-background-fill); padding: 8px 12px;
  border-radius: 4px; margin: 0; }
.sd-view { position: relative; width: 100%; max-width: min(460px, 52vh); margin: 0 auto; aspect-ratio: 1;
  border-radius: 8px; overflow: hidden; background: var(--block-background-fill);
  border: 1px solid var(--border-color-primary); }
.sd-view img { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; object-fit: contain; }
.sd-view > div { position: absolute; inset: 0; }
.sd-view b { position: absolute; top: 8px; left: 8px; padding: 1px 8px; border-radius: 10px; color: #fff;
  background: rgba(0, 0, 0, .6); font-size: var(--text-sm); font-weight: 500; }
.sd-view .sd-over { clip-path: inset(0 0 0 var(--cut, 0%)); }
.sd-over b { left: auto; right: 8px; }
.sd-under { text-align: center; }
.sd-empty { display: grid; place-items: center; color: var(--sd-quiet); }
.sd-cut { appearance: none; position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; cursor: ew-resize;
  touch-action: pan-y; background: linear-gradient(#fff, #fff) no-repeat var(--cut, 0%) 0 / 2px 100%; }
.sd-cut::-webkit-slider-runnable-track { height: 100%; background: none; }
.sd-cut::-webkit-slider-thumb { appearance: none; position: relative; top: 78%; width: 34px; height: 34px;
  cursor: ew-resize;
  border-radius: 50%; border: 2px solid var(--color-accent); box-shadow: 0 1px 4px rgba(0, 0, 0, .4);
  background: #fff var(--sd-handle) center / 22px no-repeat; }
.sd-cut::-moz-range-track { background: none; }
.sd-cut::-moz-range-thumb { width: 34px; height: 34px; cursor: ew-resize;
  border-radius: 50%; border: 2px solid var(--color-accent); box-shadow: 0 1px 4px rgba(0, 0, 0, .4);
  background: #fff var(--sd-handle) center / 22px no-repeat; }
.sd-cut:focus-visible { outline: 3px solid var(--color-accent); outline-offset: -3px; }
.sd-photo { position: relative; display: inline-block; max-width: 100%; }
.sd-photo img { display: block; max-width: 100%; max-height: 320px; border-radius: 6px; margin: 0; min-width: 96px; }
.sd-face { position: absolute; border: 2px solid #fff; outline: 1px solid #000; border-radius: 4px; cursor: pointer;
  background: transparent; }
.sd-face b { position: absolute; top: 0; left: 0; background: rgba(0, 0, 0, .65); color: #fff; padding: 0 6px;
  font-size: 12px; }
.sd-face[aria-pressed=true] { border-color: var(--color-accent); border-width: 3px; }
.sd-face[aria-pressed=true] b { background: var(--color-accent); }
.sd-face:focus-visible, .sd-samples button:focus-visible { outline: 3px solid var(--color-accent); }
.sd-samples { display: flex; flex-wrap: wrap; gap: 6px; }
.sd-samples button { padding: 0; border: 1px solid var(--border-color-primary); border-radius: 6px; cursor: pointer;
  overflow: hidden; line-height: 0; background: none; }
.sd-samples img { display: block; width: 52px; height: 52px; margin: 0; }
.sd-paint { position: relative; width: 100%; max-width: min(310px, 36vh); margin: 0 auto 4px; aspect-ratio: 1;
  overflow: hidden; border-radius: 6px; background: var(--face) 0 0 / 100% 100%; touch-action: none; }
.sd-paint canvas { display: block; width: 100%; height: 100%; opacity: .65; image-rendering: pixelated;
  cursor: crosshair; }
.sd-paint canvas:focus-visible { outline: 3px solid var(--color-accent); outline-offset: -3px; }
.sd-brush { position: absolute; border: 1px solid #fff; outline: 1px solid #000; border-radius: 50%;
  transform: translate(-50%, -50%); pointer-events: none; }
.sd-tools { display: flex; flex-wrap: wrap; gap: 4px 14px; align-items: center; justify-content: center;
  font-size: var(--text-sm); color: var(--body-text-color); }
.sd-tools label { display: flex; gap: 6px; align-items: center; }
.sd-tools input { width: 70px; accent-color: var(--color-accent); }
.sd-tools button { padding: 2px 12px; font-size: var(--text-sm); font-weight: 400;
  border: 1px solid var(--border-color-primary); border-radius: 6px;
  background: var(--button-secondary-background-fill); cursor: pointer; }
.sd-tools button:disabled { opacity: .4; cursor: default; }
.sd-classes { display: grid; grid-template-columns: repeat(auto-fill, minmax(106px, 1fr)); gap: 1px; margin: 4px 0; }
.sd-classes button { margin: 0 !important; display: flex; gap: 5px; align-items: center; padding: 1px 3px;
  border-radius: 4px; border: 1px solid transparent; background: none; cursor: pointer;
  font-size: 11.5px; font-weight: 400; white-space: nowrap; color: var(--body-text-color); }
.sd-classes i { flex: none; width: 13px; height: 13px; border-radius: 3px;
  border: 1px solid var(--border-color-primary); }
.sd-classes button[aria-pressed=true] { border-color: var(--color-accent); font-weight: 600; }
.sd-buttons { gap: 6px !important; flex-wrap: wrap; }
.sd-second { display: flex; gap: 8px; align-items: center; margin: 0; font-size: var(--text-sm);
  color: var(--body-text-color); }
.sd-second img { width: 44px; height: 44px; border-radius: 6px; margin: 0; }
.sd-seconds img { width: 36px; height: 36px; }
.sd-identity { margin: 0 0 6px; color: var(--body-text-color); }
.sd-table { width: 100%; border: 0 !important; border-collapse: collapse; font-size: var(--text-sm);
  color: var(--body-text-color); font-variant-numeric: tabular-nums; }
.sd-table tr, .sd-table thead, .sd-table tbody { border: 0 !important; }
.sd-table th, .sd-table td { padding: 3px 6px; text-align: right; border: 0 !important;
  border-bottom: 1px solid var(--border-color-primary) !important; background: none !important; }
.sd-table th[scope=row] { text-align: left; font-weight: 500; }
.sd-table thead th { color: var(--sd-quiet); font-weight: 400; }
.sd-table tr.wanted td:last-child, .sd-table tr.wanted small { color: var(--color-accent); font-weight: 600; }
.sd-table tr.moved td:last-child, .sd-table tr.moved small { color: #d97706; font-weight: 600; }
.sd-table td.sd-bars { width: 45%; }
.sd-bars i { display: block; height: 6px; margin: 1px 0; border-radius: 3px; min-width: 2px;
  background: var(--sd-quiet); }
.sd-bars i.after { background: var(--color-accent); }
.sd-compare { display: flex; flex-wrap: wrap; gap: 14px; }
.sd-compare figure { width: 200px; margin: 0; }
.sd-compare img { width: 200px; height: 200px; object-fit: contain; border-radius: 6px; margin: 0; }
.sd-compare figcaption { font-size: var(--text-sm); color: var(--sd-quiet); overflow-wrap: anywhere; }
.sd-files { padding-left: 18px; margin: 4px 0 10px; }
.sd-files a { color: var(--link-text-color); text-decoration: underline; }
.sd-files span { color: var(--sd-quiet); font-size: var(--text-sm); margin-left: 6px; }
.sd-command { white-space: pre-wrap; overflow-wrap: anywhere; user-select: all; padding: 8px 10px; border-radius: 6px;
  border: 1px solid var(--border-color-primary); background: var(--background-fill-secondary);
  color: var(--body-text-color); font-size: var(--text-sm); }
.sd-next { margin: 4px 0; font-weight: 600; color: var(--body-text-color); }
.sd-needs-face[inert] { opacity: .4; }
input[type=range]:focus-visible { outline: 3px solid var(--color-accent) !important; outline-offset: 2px; }
.dark .sd-plain input[type=range] { --neutral-200: var(--sd-beyond); }
.sd-slider { padding: 6px 12px !important; }
.sd-slider input[type=range] { --at: calc(9px + var(--estimate, -1) * (100% - 18px));
  --tick: linear-gradient(to right, transparent calc(var(--at) - 2px), var(--sd-estimate) calc(var(--at) - 2px),
    var(--sd-estimate) calc(var(--at) + 2px), transparent calc(var(--at) + 2px));
  --zero: calc(9px + .25 * (100% - 18px)); --one: calc(9px + .75 * (100% - 18px));
  --scale: linear-gradient(to right, var(--sd-beyond) var(--zero), var(--sd-within) var(--zero),
    var(--sd-within) var(--one), var(--sd-beyond) var(--one));
  height: 32px; background: var(--tick) !important; }
.sd-slider input[type=range]::-webkit-slider-runnable-track { background: var(--tick), var(--scale) !important;
  height: 10px; border-radius: 5px; }
.sd-slider input[type=range]::-moz-range-track { background: var(--tick), var(--scale) !important; height: 10px;
  border-radius: 5px; }
.sd-slider input[type=range]::-moz-range-progress { background: none !important; }
.sd-slider input[type=range]::-webkit-slider-thumb { width: 18px !important; height: 18px !important;
  margin-top: -4px !important; background: var(--color-accent); border: 2px solid #fff !important; }
.sd-note i { display: inline-block; height: 10px; width: 22px; border-radius: 5px; }
.sd-note .sd-within { background: var(--sd-within); }
.sd-note .sd-beyond { background: var(--sd-beyond); }
.sd-note .sd-estimate { background: var(--sd-estimate); width: 4px; height: 16px; border-radius: 0;
  vertical-align: -3px; margin: 0 2px; }
:root { --sd-quiet: #52525b; --sd-beyond: #d4d4d8; --sd-within: #93b4f5; --sd-estimate: #18181b;
  --sd-handle: url("data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 22 22'%3E\
%3Cpath d='M9 5 3 11l6 6zm4 0 6 6-6 6z' fill='%23444'/%3E%3C/svg%3E"); }
.dark { --sd-quiet: #a1a1aa; --sd-beyond: #3f3f46; --sd-within: #3b5b9a; --sd-estimate: #f4f4f5; }
#message:not(:has(.sd-message)), #overview:not(:has(img)), [id$=-marks] { display: none; }
.gradio-container .prose { padding: 0; }
#head h1 { margin: 0 0 4px; }
@media (max-width: 700px) {
  #face { display: contents !important; }
  #face > *, #photos, #controls { flex: 1 1 100% !important; max-width: 100%; }
  #viewer { position: sticky; top: 0; z-index: 200; overflow: visible; padding: 4px 0 !important;
    background: var(--body-background-fill); }
  #viewer .sd-view { max-width: min(100%, 32vh); }
  #facts { order: 1; }
}
#samples, #overview, #facts, #viewer, #bars, #saved, #compared { padding: 0; }
footer { display: none !important; }
@media (max-width: 640px) { .sd-table th, .sd-table td { padding: 3px 2px; font-size: 11px; } }
"""

# A click on one of several buttons within a component, handed on with its number.
PICK = """
element.addEventListener('click', event => {
  const button = event.target.closest('[data-pick]');
  if (button && element.contains(button)) trigger('pick', {index: Number(button.dataset.pick)});
});
"""

NEEDS_FACE = "sd-needs-face"  # class of what can be used only while a face is shown that may be edited

# Where the picture is cut stays, although each edit brings a new picture; without a face, controls are off.
VIEW = """
const viewer = document.getElementById('viewer');
function allow() {
  const off = !viewer.querySelector('.sd-after') || !!viewer.querySelector('.sd-blocked');
  document.querySelectorAll('.sd-needs-face').forEach(one => { one.inert = off; });
}
new MutationObserver(allow).observe(viewer, {childList: true, subtree: true});
allow();
element.addEventListener('input', event => {
  if (event.target.type !== 'range') return;
  element.dataset.cut = event.target.value;
  element.style.setProperty('--cut', event.target.value + '%');
});
watch('value', () => {
  const range = element.querySelector('input[type=range]');
  if (range && element.dataset.cut) range.value = element.dataset.cut;
});
"""
