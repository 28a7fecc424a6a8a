// A brush over the classes of a mask. The value is "FACE SIDE CLASS*COUNT CLASS*COUNT … #CHANGES": runs of pixels, row
// by row, and how often the mask was changed. What the server made of a mask that was changed since is dropped.
const canvas = element.querySelector('canvas'), cursor = element.querySelector('.sd-brush');
const undo = element.querySelector('[data-undo]'), width = element.querySelector('[data-width]');
const buttons = [...element.querySelectorAll('[data-class]')];
const colours = buttons.map(button => button.dataset.colour.split(',').map(Number));
let face = '', side = 0, mask = null, past = [], chosen = 1, last = null, told = 0, timer = 0, changes = 0, own = '';

function draw() {
  const picture = new ImageData(side, side);
  mask.forEach((one, index) => picture.data.set([...colours[one], one ? 255 : 0], 4 * index));
  canvas.width = canvas.height = side;
  canvas.getContext('2d').putImageData(picture, 0, 0);
  undo.disabled = !past.length;
}

function remember() {
  past.push(mask.slice());
  if (past.length > 50) past.shift();
}

function read() {
  if (!props.value || props.value === own) return;
  const [owner, given, ...runs] = props.value.split(' ');
  const number = runs.at(-1).startsWith('#') ? Number(runs.pop().slice(1)) : 0;
  if (number && owner === face && number !== changes + 1) {
    timer = setTimeout(tell, 0);
    return;
  }
  changes = number;
  if (owner !== face) past = [];
  else if (mask) remember();
  face = owner;
  side = Number(given);
  mask = new Uint8Array(side * side);
  let start = 0;
  for (const run of runs) {
    const [one, count] = run.split('*').map(Number);
    mask.fill(one, start, start += count);
  }
  draw();
}

function tell() {
  clearTimeout(timer);
  told = Date.now();
  const runs = [];
  for (let start = 0, end; start < mask.length; start = end) {
    for (end = start; end < mask.length && mask[end] === mask[start];) end++;
    runs.push(mask[start] + '*' + (end - start));
  }
  props.value = own = [face, side, ...runs, '#' + changes].join(' ');
  trigger('input');
}

function paint(x, y) {
  const from = last || {x, y}, radius = Number(width.value) / 2;
  const steps = Math.max(1, Math.ceil(2 * Math.max(Math.abs(x - from.x), Math.abs(y - from.y))));
  for (let step = 0; step <= steps; step++) {
    const left = from.x + (x - from.x) * step / steps, top = from.y + (y - from.y) * step / steps;
    for (let row = Math.max(0, Math.floor(top - radius)); row <= Math.min(side - 1, top + radius); row++) {
      for (let column = Math.max(0, Math.floor(left - radius)); column <= Math.min(side - 1, left + radius); column++) {
        if (Math.hypot(column + .5 - left, row + .5 - top) <= Math.max(radius, .71)) mask[row * side + column] = chosen;
      }
    }
  }
  last = {x, y};
  changes++;
  draw();
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width * side, (event.clientY - box.top) / box.height * side];
}

function show(x, y) {
  cursor.style.width = cursor.style.height = 100 * width.value / side + '%';
  cursor.style.left = 100 * x / side + '%';
  cursor.style.top = 100 * y / side + '%';
}

canvas.addEventListener('pointerdown', event => {
  if (!mask || event.button) return;
  canvas.setPointerCapture(event.pointerId);
  remember();
  last = null;
  paint(...place(event));
});
canvas.addEventListener('pointermove', event => {
  if (!mask) return;
  show(...place(event));
  if (!canvas.hasPointerCapture(event.pointerId)) return;
  paint(...place(event));
  if (Date.now() - told > 150) tell();
});
canvas.addEventListener('lostpointercapture', () => { last = null; tell(); });

let keyed = null;
canvas.addEventListener('keydown', event => {
  const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], ' ': [0, 0]}[event.key];
  if (!mask || !step) return;
  event.preventDefault();
  keyed = (keyed || [side / 2, side / 2]).map((one, axis) => Math.min(side - .5, Math.max(.5, one + step[axis])));
  show(...keyed);
  if (event.key !== ' ') return;
  remember();
  last = null;
  paint(...keyed);
  tell();
});

undo.addEventListener('click', () => {
  if (!past.length) return;
  mask = past.pop();
  changes++;
  draw();
  tell();
});
element.addEventListener('click', event => {
  const button = event.target.closest('[data-class]');
  if (!button) return;
  chosen = Number(button.dataset.class);
  buttons.forEach(one => one.setAttribute('aria-pressed', one === button));
});
element.querySelector('[data-cover]').addEventListener('input', event => {
  canvas.style.opacity = event.target.value / 100;
});
watch('value', read);
read();
