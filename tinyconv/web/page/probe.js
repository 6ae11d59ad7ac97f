// "Look closer": the number under the pointer, and everything that made it.

import { onColors } from "./colors.js";
import { on, send } from "./connection.js";
import { byId, element, short } from "./dom.js";
import { denseExplanation, plainExplanation, softmaxExplanation, windowExplanation } from "./explanations.js";
import { kernelExplanation } from "./kernel.js";
import { mark } from "./network-view.js";
import { narrow } from "./narrow.js";
import { labelled, largeMap } from "./parts.js";

const MAKERS = {
  conv2d: kernelExplanation,
  max: windowExplanation,
  mean: windowExplanation,
  dense: denseExplanation,
  softmax: softmaxExplanation,
};

let layers = [];
let pinned = { layer: 0, place: [11, 12, 0] };
let hovered = null;
let explained = null;
let picture = null;
let parts = null; // the elements of the present explanation, and their `update`
let canUndo = false;

export function start() {
  on("probe", (message) => show(message.explained));
  onColors(() => explained && show(explained));
}

/** Another network: what is pinned must exist in it. */
export function setNetwork(description) {
  layers = description.layers;
  const sizes = layers[pinned.layer]?.output_shape ?? [];
  if (sizes.length !== pinned.place.length || sizes.some((size, axis) => pinned.place[axis] >= size)) {
    pinned = { layer: 0, place: layers[0].output_shape.map((size) => size >> 1) };
  }
  hovered = explained = parts = null;
}

/** Explain another number: while the pointer is over it, or, `pin`ned, from now on; without arguments the pinned one. */
export function choose(layer, place, pin) {
  if (layer !== undefined && pin) [pinned, hovered] = [{ layer, place }, null];
  else hovered = layer === undefined ? null : { layer, place };
  ask();
  if (pin && narrow.matches) byId("probe").parentElement.scrollIntoView({ behavior: "smooth", block: "nearest" });
}

export function ask() {
  send({ do: "ask", ...(hovered ?? pinned) });
}

/** The picture that the large map is cut from. */
export function setPicture(next) {
  picture = next;
  if (explained) showMap();
}

/** Whether there are edits to undo. */
export function setState({ edited, status }) {
  canUndo = edited && status === "idle";
  if (parts?.undo) parts.undo.disabled = !canUndo;
}

function show(next) {
  explained = next;
  const { kind, layer, place, gradient } = explained;
  const { name, output_shape: sizes } = layers[layer];
  const key = `${kind} of ${layer}`;
  if (parts?.key !== key) {
    parts = { ...(MAKERS[kind] ?? plainExplanation)(explained, layers[layer], layers[layer - 1]), key };
    parts.large = place.length === 3 ? largeMap(sizes, chooseInMap) : null;
    byId("probe").replaceChildren(...(parts.large ? [labelled("this map", parts.large.map)] : []), ...parts.elements);
  }
  parts.update(explained);
  if (parts.undo) parts.undo.disabled = !canUndo;
  showMap();
  mark(explained);
  byId("probe-title").replaceChildren(
    place.length === 3 ? `${name}, map ${place[2] + 1}, row ${place[0]}, column ${place[1]}` : `${name}, number ${place[0]}`,
    ...(gradient === undefined ? [] : [", its gradient ", element("b", {}, short(gradient, 4))]),
  );
}

function showMap() {
  parts?.large?.show(explained.place, picture?.arrays.get(`layer/${explained.layer}`));
}

function chooseInMap(row, column, pin) {
  if (row === undefined) choose();
  else choose(explained.layer, [row, column, explained.place[2]], pin);
}
