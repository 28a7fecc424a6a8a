// An exported editor of attributes in the browser: what edit_face.py does, with sliders.
import * as ort from "./onnxruntime-web/ort.wasm.bundle.min.mjs";

ort.env.wasm.wasmPaths = { wasm: new URL("./onnxruntime-web/ort-wasm-simd-threaded.wasm", import.meta.url).href };
ort.env.wasm.numThreads = 1; // more need headers that a plain file server does not send

const LOWEST = -0.2, HIGHEST = 1.2; // 0 absent, 1 present, beyond: exaggerated
const byId = id => document.getElementById(id);
const load = async name => {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
  return answer;
};
const pipeline = await (await load("pipeline.json")).json();
const sessions = new Map();
let face = null; // what `invert` found
let busy = Promise.resolve(); // sessions run one after the other
let wanted = 0; // number of the newest edit

async function run(steps, values) {
  for (const { file, inputs, output } of pipeline[steps]) {
    if (!sessions.has(file)) {
      const bytes = new Uint8Array(await (await load(file)).arrayBuffer());
      sessions.set(file, await ort.InferenceSession.create(bytes));
    }
    const given = Object.fromEntries(Object.entries(inputs).map(([name, value]) => [name, values[value]]));
    const session = sessions.get(file);
    values[output] = (await session.run(given))[session.outputNames[0]];
  }
  return values;
}

function inTurn(work) {
  busy = busy.then(work).catch(problem => say(problem.message, true));
  return busy;
}

function say(text, failed = false) {
  byId("status").textContent = text;
  byId("status").className = failed ? "failed" : "";
}

// The centred square of a picture on the canvas, and its pixels as the networks take them.
function read(picture) {
  const { side, divide_by, subtract } = pipeline.before;
  const whole = Math.min(picture.width, picture.height);
  const context = byId("before").getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  const [left, top] = [(picture.width - whole) >> 1, (picture.height - whole) >> 1];
  context.drawImage(picture, left, top, whole, whole, 0, 0, side, side);
  const { data } = context.getImageData(0, 0, side, side);
  const pixels = new Float32Array(3 * side * side);
  for (let at = 0; at < side * side; at++)
    for (let colour = 0; colour < 3; colour++)
      pixels[colour * side * side + at] = data[4 * at + colour] / divide_by - subtract;
  return new ort.Tensor("float32", pixels, [1, 3, side, side]);
}

function write(picture) {
  const [, , height, width] = picture.dims, { add, multiply_by } = pipeline.after, canvas = byId("after");
  const image = new ImageData(width, height); // its array rounds and clips
  image.data.fill(255);
  for (let at = 0; at < width * height; at++)
    for (let colour = 0; colour < 3; colour++)
      image.data[4 * at + colour] = (picture.data[colour * width * height + at] + add) * multiply_by;
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(image, 0, 0);
}

const sliders = pipeline.condition.attributes.map((name, index) => {
  const label = Object.assign(document.createElement("label"), { textContent: name.replaceAll("_", " ") });
  const slider = Object.assign(document.createElement("input"), {
    type: "range", min: LOWEST, max: HIGHEST, step: 0.01, id: `attribute-${index}`, disabled: true,
  });
  const shown = document.createElement("output");
  const one = { slider, moved: false, show: value => { slider.value = value; shown.value = value.toFixed(2); } };
  label.htmlFor = slider.id;
  slider.addEventListener("input", () => { one.moved = true; one.show(Number(slider.value)); edit(); });
  byId("sliders").append(label, slider, shown);
  return one;
});

// Attributes whose slider was not moved keep the exact value that was read.
function edit() {
  const number = ++wanted;
  return inTurn(async () => {
    if (number !== wanted || face === null) return; // a newer one waits
    const began = performance.now();
    const target = Float32Array.from(face.condition.data);
    sliders.forEach((one, index) => { if (one.moved) target[index] = Number(one.slider.value); });
    const values = { ...face, target: new ort.Tensor("float32", target, face.condition.dims) };
    write((await run("edit", values)).picture);
    say(`${Math.round(performance.now() - began)} ms`);
    document.body.dataset.edit = number;
  });
}

function choose(blob, button = null) {
  for (const one of byId("faces").children) one.setAttribute("aria-pressed", one === button);
  return inTurn(async () => {
    say("reading the face …");
    const picture = await createImageBitmap(blob);
    face = await run("invert", { image: read(picture) });
    reset();
  });
}

function reset() {
  sliders.forEach((one, index) => {
    one.show(face.condition.data[index]);
    Object.assign(one, { moved: false }).slider.disabled = false;
  });
  byId("reset").disabled = false;
  edit();
}

byId("before").width = byId("before").height = pipeline.before.side;
byId("reset").addEventListener("click", reset);
byId("open").addEventListener("change", event => { if (event.target.files.length) choose(event.target.files[0]); });
const names = await (await load("faces.json")).json();
for (const [index, name] of names.entries()) {
  const button = Object.assign(document.createElement("button"), { type: "button", ariaLabel: `Face ${index + 1}` });
  button.append(Object.assign(new Image(), { src: name, alt: "" }));
  button.addEventListener("click", async () => choose(await (await load(name)).blob(), button));
  byId("faces").append(button);
}
say("choose a face");
if (names.length) byId("faces").firstElementChild.click();
