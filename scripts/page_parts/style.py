"""How the page looks, in light and dark, and the little that runs in the browser."""

from __future__ import annotations

CSS = """
.gradio-container > main { max-width: 1200px !important; margin: 0 auto !important; }
.html-container { padding: 0 !important; }
.sd-note { color: var(--body-text-color-subdued); font-size: var(--text-sm); margin: 2px 0; }
.sd-message { border-left: 4px solid #d97706; background: var(--block-background-fill); padding: 8px 12px;
  border-radius: 4px; margin: 0; }
.sd-view { position: relative; width: 100%; max-width: 460px; margin: 0 auto; aspect-ratio: 1; border-radius: 8px;
  overflow: hidden; background: var(--block-background-fill); border: 1px solid var(--border-color-primary); }
.sd-view img { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; object-fit: contain; }
.sd-view .sd-after { clip-path: inset(0 0 0 var(--cut, 0%)); }
.sd-view .sd-line { position: absolute; top: 0; bottom: 0; left: var(--cut, 0%); width: 2px; margin-left: -1px;
  background: rgba(255, 255, 255, .8); }
.sd-empty { display: grid; place-items: center; color: var(--body-text-color-subdued); }
.sd-cut { display: flex; gap: 10px; align-items: center; max-width: 460px; margin: 8px auto 0;
  font-size: var(--text-sm); color: var(--body-text-color); }
.sd-cut input { flex: 1; accent-color: var(--color-accent); }
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
.sd-identity { margin: 0 0 6px; color: var(--body-text-color); }
.sd-table { width: 100%; border: 0 !important; border-collapse: collapse; font-size: var(--text-sm);
  color: var(--body-text-color); font-variant-numeric: tabular-nums; }
.sd-table tr, .sd-table thead, .sd-table tbody { border: 0 !important; }
.sd-table th, .sd-table td { padding: 3px 6px; text-align: right; border: 0 !important;
  border-bottom: 1px solid var(--border-color-primary) !important; background: none !important; }
.sd-table th[scope=row] { text-align: left; font-weight: 500; }
.sd-table thead th { color: var(--body-text-color-subdued); font-weight: 400; }
.sd-table tr.wanted td:nth-child(5), .sd-table tr.wanted td:last-child { color: var(--color-accent); font-weight: 600; }
.sd-table tr.moved td:nth-child(5), .sd-table tr.moved td:last-child { color: #d97706; font-weight: 600; }
.sd-table td.sd-bars { width: 45%; }
.sd-bars i { display: block; height: 6px; margin: 1px 0; border-radius: 3px; min-width: 2px;
  background: var(--body-text-color-subdued); }
.sd-bars i.after { background: var(--color-accent); }
.sd-compare { display: flex; flex-wrap: wrap; gap: 14px; }
.sd-compare figure { width: 200px; margin: 0; }
.sd-compare img { width: 200px; height: 200px; object-fit: contain; border-radius: 6px; margin: 0; }
.sd-compare figcaption { font-size: var(--text-sm); color: var(--body-text-color-subdued); overflow-wrap: anywhere; }
.sd-files { padding-left: 18px; margin: 4px 0 10px; }
.sd-files a { color: var(--link-text-color); text-decoration: underline; }
.sd-files span { color: var(--body-text-color-subdued); font-size: var(--text-sm); margin-left: 6px; }
.sd-command { white-space: pre-wrap; overflow-wrap: anywhere; user-select: all; padding: 8px 10px; border-radius: 6px;
  border: 1px solid var(--border-color-primary); background: var(--background-fill-secondary);
  color: var(--body-text-color); font-size: var(--text-sm); }
.sd-slider { padding: 6px 12px !important; }
.sd-slider input[type=range]::-webkit-slider-runnable-track {
  background:
    linear-gradient(to right, transparent calc(var(--estimate, -9%) - 2px), #d97706 calc(var(--estimate, -9%) - 2px),
      #d97706 calc(var(--estimate, -9%) + 2px), transparent calc(var(--estimate, -9%) + 2px)),
    linear-gradient(to right, var(--sd-beyond) 25%, var(--sd-within) 25%, var(--sd-within) 75%, var(--sd-beyond) 75%)
    !important; height: 10px; border-radius: 5px; }
.sd-slider input[type=range]::-moz-range-track {
  background:
    linear-gradient(to right, transparent calc(var(--estimate, -9%) - 2px), #d97706 calc(var(--estimate, -9%) - 2px),
      #d97706 calc(var(--estimate, -9%) + 2px), transparent calc(var(--estimate, -9%) + 2px)),
    linear-gradient(to right, var(--sd-beyond) 25%, var(--sd-within) 25%, var(--sd-within) 75%, var(--sd-beyond) 75%)
    !important; height: 10px; border-radius: 5px; }
.sd-slider input[type=range]::-moz-range-progress { background: none !important; }
.sd-slider input[type=range]::-webkit-slider-thumb { margin-top: -4px !important; background: var(--color-accent);
  border: 2px solid #fff !important; }
:root { --sd-beyond: #d4d4d8; --sd-within: #93b4f5; }
.dark { --sd-beyond: #3f3f46; --sd-within: #3b5b9a; }
#message:not(:has(.sd-message)), #overview:not(:has(img)), [id$=-marks] { display: none; }
.gradio-container .prose { padding: 0; }
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

# Where the picture is cut stays, although each edit brings a new picture.
CUT = """
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
