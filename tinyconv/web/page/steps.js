// Step through the network, one layer at a time, forward or backward, with a sentence for each step.

import { send } from "./connection.js";
import { byId, element, shape, short } from "./dom.js";
import { showStep } from "./network-view.js";

let layers = [];
let current = null; // the layer of this step, or null for all
let backwards = false;
let target = null; // the digit that the drawing should be; null for what it is read as
let picture = null;

export function start() {
  byId("forward").addEventListener("click", () => turn(false));
  byId("backward").addEventListener("click", () => turn(true));
  byId("next").addEventListener("click", () => step(1));
  byId("previous").addEventListener("click", () => step(-1));
  byId("all").addEventListener("click", () => go(null));
  byId("target").append(element("option", { value: "" }, "what it is read as"));
  for (let digit = 0; digit < 10; digit++) byId("target").append(element("option", { value: digit }, `a ${digit}`));
  byId("target").addEventListener("change", ({ target: { value } }) => {
    target = value === "" ? null : Number(value);
    tell();
  });
}

export function setNetwork(description) {
  layers = description.layers;
  go(null);
}

export function setPicture(next) {
  picture = next;
  say();
}

/** Outputs or gradients: what the pictures show from now on. */
export function tell() {
  send({ do: "show", backwards, target });
}

function turn(back) {
  backwards = back;
  byId("forward").setAttribute("aria-pressed", !back);
  byId("backward").setAttribute("aria-pressed", back);
  document.body.classList.toggle("backwards", back);
  byId("target-choice").hidden = !back;
  tell();
  go(current);
}

/** The first step to the right is into the first layer, the first one to the left into the last. */
function step(by) {
  const last = layers.length - 1;
  if (current === null) go(by > 0 ? 0 : last);
  else go(Math.max(0, Math.min(last, current + by)));
}

function go(layer) {
  current = layer;
  byId("all").setAttribute("aria-pressed", layer === null);
  byId("previous").disabled = current === 0;
  byId("next").disabled = current === layers.length - 1;
  showStep(current, backwards);
  document.body.classList.toggle("stepping", current !== null);
  document.body.classList.toggle("before-input", current !== null && current > 0);
  layers[current]?.element.scrollIntoView({ block: "nearest", inline: "nearest" });
  say();
}

function say() {
  if (!layers.length) return;
  const text = byId("step-text");
  const isGradient = picture?.of === "gradients";
  if (isGradient !== backwards) return; // the picture that belongs to this direction is on its way
  if (current === null) {
    text.textContent = backwards
      ? `If the drawing should be read as ${picture.target}, the loss is ${short(picture.loss)}. Colours show its gradient: orange numbers should shrink, blue ones grow.`
      : "Each map is what one kernel has found in the maps before it. Point at any of them, or walk through the layers.";
    return;
  }
  const layer = layers[current];
  const words = (backwards ? BACK : FORWARD)[kindOf(layer)] ?? (() => "Passes its input on.");
  const range = picture.ranges[backwards ? current : current + 1];
  const [from, to] = [shape(layer.input_shape), shape(layer.output_shape)];
  text.replaceChildren(
    element("b", {}, `${current + 1}. ${layer.name}`),
    ` ${backwards ? `${to} → ${from}` : `${from} → ${to}`}. ${words(layer)} `,
    element("span", { class: "quiet" }, `${backwards ? "Gradients" : "Numbers"} from ${short(range[0])} to ${short(range[1])}, mean ${short(range[2])}, ${Math.round(100 * range[3])} % zero.`),
  );
}

/** By class, but what is nothing else than an activation by that one's name. */
function kindOf(layer) {
  return ["Activation", "ReLU", "Softmax"].includes(layer.class) ? layer.activation : layer.class;
}

function parameters(layer) {
  return `${layer.parameters.toLocaleString("en")} weights`;
}

function thenActivated({ activation }) {
  return activation === "linear" ? "" : ` Then ${activation}.`;
}

const FORWARD = {
  Conv2D: (layer) =>
    `${layer.output_shape[2]} kernels of ${shape(layer.kernel_size)}×${layer.input_shape[2]} slide over the input; each gives one map. ${parameters(layer)}.${thenActivated(layer)}`,
  relu: () => "Negative numbers become 0, the others stay: max(x, 0).",
  sigmoid: () => "Every number is squeezed to between 0 and 1: 1 / (1 + e^−x).",
  tanh: () => "Every number is squeezed to between −1 and 1.",
  MaxPooling2D: (layer) => `Of every ${shape(layer.kernel_size)} window only the largest number goes on: fewer pixels, the same maps.`,
  AveragePooling2D: (layer) => `Every ${shape(layer.kernel_size)} window becomes its mean.`,
  GlobalAveragePooling2D: () => "Every map becomes one number, its mean.",
  Flatten: () => "All maps are put in one row; no number changes.",
  Reshape: () => "The same numbers in another shape.",
  Rescaling: () => "Every number is multiplied by the same factor, and the same offset is added.",
  Dense: (layer) => `Each of the ${layer.output_shape[0]} outputs is a weighted sum of all ${layer.input_shape[0]} inputs. ${parameters(layer)}.${thenActivated(layer)}`,
  softmax: () => "Scores become probabilities: e to the power of each, divided by the sum.",
  Dropout: () => "Does nothing while reading; in training it blanks some inputs at random.",
  BatchNormalization: () => "Shifts and scales each map as training has found to be usual.",
};
const BACK = {
  Conv2D: () =>
    "Each input pixel adds up the gradients of all windows it was in, times the kernel. The kernel’s own gradient, window × gradient over all places, is what training follows.",
  relu: () => "Where the output was 0 the gradient stops; elsewhere it passes unchanged.",
  MaxPooling2D: () => "The winner of each window gets the whole gradient, the others get 0.",
  sigmoid: () => "The gradient is multiplied by the slope y(1 − y): little passes where y is near 0 or 1.",
  tanh: () => "The gradient is multiplied by the slope 1 − y²: little passes where y is near −1 or 1.",
  AveragePooling2D: () => "All pixels of a window share its gradient evenly.",
  GlobalAveragePooling2D: () => "All pixels of a map share its gradient evenly.",
  Flatten: () => "The row is folded back into maps.",
  Reshape: () => "The gradients get the old shape back.",
  Rescaling: () => "Every gradient is multiplied by the factor.",
  Dense: () => "The gradient of each input is the sum of the outputs’ gradients, times the weights between them.",
  Dropout: () => "Passes its gradient on while reading; in training it stops where an input was blanked.",
  BatchNormalization: () => "The gradient is scaled as the maps were.",
  softmax: () => "With the cross-entropy behind it, the scores’ gradient is simply: probability minus what it should be.",
};
