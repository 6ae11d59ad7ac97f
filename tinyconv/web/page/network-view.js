// The network from left to right: every layer's feature maps, the row of scores, and the ten probabilities.

import { onColors, paint } from "./colors.js";
import { byId, element, shape } from "./dom.js";
import { narrow } from "./narrow.js";
import { arrow, clamp, frame, pixelAt } from "./parts.js";

const ROWS = 6; // maps on top of each other, as in style.css
const FEW = 2 * ROWS; // maps of a layer that are shown until the others are asked for
const CELLS = 32; // more numbers in a row than this become a strip without labels

let layers = []; // of the network message, each with its element, and its tiles: buttons with a canvas
let picture = null;
let explained = null;
let chosen = () => {}; // called with (layer, place, pinned), or without anything when the pointer leaves
let inFocus = null; // the tile that the tab key stops at

export function start(onChoice) {
  chosen = onChoice;
  const network = byId("network");
  network.addEventListener("pointermove", (event) => event.pointerType === "mouse" && choose(event, false));
  network.addEventListener("pointerleave", () => chosen());
  network.addEventListener("click", (event) => choose(event, true));
  network.addEventListener("keydown", moveFocus);
  network.addEventListener("focusin", ({ target }) => target.dataset.map && setFocus(target));
  const again = () => picture && show(picture);
  onColors(again);
  narrow.addEventListener("change", () => [again(), explained && mark(explained)]);
}

/** Lay out the layers. */
export function build(description) {
  layers = description.layers;
  const columns = layers.map((layer, index) => {
    layer.tiles = makeTiles(layer, index);
    layer.maps = element("div", { class: `maps ${layer.form}` }, ...layer.tiles);
    layer.element = element(
      "section",
      { class: `layer ${layer.form}-layer`, "aria-label": `Layer ${index + 1}: ${layer.name}` },
      element("h2", {}, title(layer)),
      element("p", { class: "shape" }, shape(layer.output_shape), ...moreButton(layer, index)),
      layer.maps,
    );
    return layer.element;
  });
  byId("network").replaceChildren(...columns);
  setFocus(layers[0].tiles[0]);
}

/** Shows all maps of a layer that has many, and a few again: usual networks have more than fit on any screen. */
function moreButton(layer, index) {
  const others = layer.output_shape.length === 3 ? layer.output_shape[2] - FEW : 0;
  if (others <= 0) return [];
  const button = element("button", { type: "button", class: "more" });
  const say = () => {
    button.textContent = layer.all ? "fewer" : `+ ${others} more`;
    button.setAttribute("aria-label", layer.all ? `the first ${FEW} maps of ${layer.name} only` : `${others} more maps of ${layer.name}`);
    button.setAttribute("aria-expanded", layer.all === true);
  };
  button.addEventListener("click", (event) => {
    event.stopPropagation();
    layer.all = !layer.all;
    layer.tiles = makeTiles(layer, index);
    layer.maps.replaceChildren(...layer.tiles);
    if (!inFocus.isConnected) setFocus(layer.tiles[0]);
    say();
    if (picture) show(picture);
    if (explained) mark(explained);
  });
  say();
  return [button];
}

function title(layer) {
  const names = { ReLU: "relu", MaxPooling2D: "max pool", AveragePooling2D: "mean pool", BatchNormalization: "batch norm" };
  return names[layer.class] ?? layer.class.toLowerCase();
}

function makeTiles(layer, index) {
  const sizes = layer.output_shape;
  const tile = (map, label, ...inside) =>
    element("button", { type: "button", class: "map", tabindex: -1, "data-layer": index, "data-map": map, "aria-label": label }, ...inside);
  if (sizes.length === 3) {
    layer.form = "images";
    const withKernel = layer.class === "Conv2D" && layer.input_shape[2] === 1;
    layer.kernels = [];
    return Array.from({ length: layer.all ? sizes[2] : Math.min(FEW, sizes[2]) }, (_, map) => {
      const inside = [face()];
      if (withKernel) {
        layer.kernels.push(element("canvas", { class: "kernel", title: "its kernel" }));
        inside.push(layer.kernels[map]);
      }
      return tile(map, `${layer.name}, map ${map + 1} of ${sizes[2]}`, ...inside);
    });
  }
  const isLast = index === layers.length - 1;
  if (isLast) {
    layer.form = "bars";
    return Array.from({ length: sizes[0] }, (_, map) =>
      tile(map, `probability of ${map}`, element("b", {}, `${map}`), element("i", {}, element("s")), element("output")));
  }
  layer.form = sizes[0] > CELLS ? "strip" : "cells";
  if (layer.form === "cells") {
    return Array.from({ length: sizes[0] }, (_, map) => tile(map, `${layer.name}, number ${map}`, element("canvas")));
  }
  return [tile(0, `${layer.name}, ${sizes[0]} numbers in a row`, face())];
}

/** Where a map is painted and marked. */
function face() {
  return element("span", { class: "face" }, element("canvas"), element("span", { class: "marks" }));
}

/** Paint all maps. */
export function show(next) {
  picture = next;
  layers.forEach((layer, index) => {
    const array = picture.arrays.get(`layer/${index}`);
    const kernels = picture.arrays.get(`kernel/${index}`);
    const [channels, height, width] = array.shape.length === 3 ? array.shape : [array.shape[0], 1, 1];
    layer.tiles.forEach((tile, map) => {
      if (layer.form === "bars") return;
      const canvas = tile.querySelector("canvas");
      if (layer.form === "strip") paint(canvas, array.bytes, ...(narrow.matches ? [channels, 1] : [1, channels]));
      else paint(canvas, array.bytes.subarray(map * height * width, (map + 1) * height * width), width, height);
    });
    if (kernels) {
      const [, kh, kw] = kernels.shape;
      layer.kernels.forEach((canvas, f) => paint(canvas, kernels.bytes.subarray(f * kh * kw, (f + 1) * kh * kw), kw, kh));
    }
  });
  showProbabilities(picture.probabilities, picture.of === "gradients" ? picture.target : null);
}

function showProbabilities(probabilities, target) {
  const top = probabilities.indexOf(Math.max(...probabilities));
  layers.at(-1).tiles.forEach((tile, k) => {
    const percent = 100 * (probabilities[k] ?? 0);
    tile.querySelector("s").style.width = `${percent}%`;
    tile.querySelector("output").textContent = `${percent < 10 ? percent.toFixed(1) : percent.toFixed(0)} %`;
    tile.classList.toggle("top", k === top);
    tile.classList.toggle("target", k === target);
    tile.setAttribute("aria-label", `probability of ${k}: ${percent.toFixed(0)} percent`);
  });
}

/** Show one step of a walk through the layers, or all if `current` is null: what has not been reached yet is dim.
 *  A step back through a layer leads to the gradient of its input, which is the output of the layer before. */
export function showStep(current, backwards) {
  layers.forEach(({ element }, index) => {
    element.classList.toggle("current", index === current);
    element.classList.toggle("dim", current !== null && (backwards ? index < current - 1 : index > current));
  });
}

/** Frame the number that is explained, and what it was made from. */
export function mark(next) {
  explained = next;
  for (const marks of document.querySelectorAll(".stage .marks")) marks.replaceChildren();
  for (const tile of document.querySelectorAll(".map.asked")) tile.classList.remove("asked");
  const { layer: index, place } = explained;
  const layer = layers[index];
  const tile = layer.form === "strip" ? layer.tiles[0] : layer.tiles[place.at(-1)];
  tile?.classList.add("asked");
  if (layer.form === "images") put(tile, frame([place[0], place[0]], [place[1], place[1]], layer.output_shape, "one"));
  if (layer.form === "strip") put(tile, inStrip(layer, place[0]));
  for (const [source, box] of sources(layers[index - 1], layer)) put(source, box);
}

/** Where the number came from: pairs of a tile of the layer before, or the pad, and a box in it. */
function sources(before, layer) {
  const { kind, rows, columns, from, place } = explained;
  const sizes = layer.input_shape;
  const source = from ?? place;
  const isOne = !["dense", "softmax"].includes(kind); // of the inputs
  if (sizes.length !== 3) return before?.form === "strip" && isOne ? [[before.tiles[0], inStrip(before, source[0])]] : [];
  const [row, column] = source;
  const box = rows ? [[rows[0], rows.at(-1)], [columns[0], columns.at(-1)]] : [[row, row], [column, column]];
  const tiles = before ? before.tiles : [byId("pad")];
  const seen = kind === "conv2d" || !before ? tiles : [tiles[source.at(-1)]];
  return seen.map((tile) => [tile, frame(...box, sizes, "window")]);
}

function inStrip(layer, index) {
  const [along, across] = [[index, index], [0, 0]];
  const length = layer.output_shape[0];
  return narrow.matches ? frame(across, along, [1, length], "one") : frame(along, across, [length, 1], "one");
}

/** A tile may be one of those that are not shown. */
function put(tile, box) {
  tile?.querySelector(".marks").append(box);
}

function choose(event, pinned) {
  const tile = event.target.closest(".map");
  if (!tile) return;
  const index = Number(tile.dataset.layer);
  const { form, output_shape: sizes } = layers[index];
  const map = Number(tile.dataset.map);
  const byKey = event.type === "click" && event.detail === 0; // a click made by the keyboard has no place
  const at = (height, width) => (byKey ? [height >> 1, width >> 1] : pixelAt(event, tile.querySelector("canvas").getBoundingClientRect(), height, width));
  if (form === "images") chosen(index, [...at(sizes[0], sizes[1]), map], pinned);
  else if (form === "strip") chosen(index, [narrow.matches ? at(1, sizes[0])[1] : at(sizes[0], 1)[0]], pinned);
  else chosen(index, [map], pinned);
}

function setFocus(tile) {
  inFocus?.setAttribute("tabindex", -1);
  inFocus = tile;
  tile.setAttribute("tabindex", 0);
}

/** Up and down within a layer, left and right between layers. */
function moveFocus(event) {
  const tile = event.target.closest(".map");
  const step = arrow(event);
  if (!tile || !step) return;
  event.preventDefault();
  const layer = layers[clamp(Number(tile.dataset.layer) + step[1], layers.length)];
  const next = layer.tiles[clamp(Number(tile.dataset.map) + step[0], layer.tiles.length)];
  next.focus();
  next.click();
}
