// How a convolution made a number: window × kernel, channel by channel; and the kernel can be changed.

import { paint, toBytes } from "./colors.js";
import { send } from "./connection.js";
import { element, powerOfTen, short } from "./dom.js";
import { complain } from "./problem.js";
import { arrow, brief, cellExponent, channelOf, clamp, equation, labelled, largest, numberGrid } from "./parts.js";

const STEP = 0.05; // that a key changes a weight by
const RANGE = 2; // of the slider
const BELIEVED = 1000; // milliseconds that an edit is shown without an answer
const LARGEST = 100; // weight that may be typed, as in bench.py
const STRENGTH = 2; // of the ready-made kernels: the sum of their sizes

const READY = {
  blur: () => 1,
  "edge —": (y) => Math.sign(y),
  "edge |": (y, x) => Math.sign(x),
  spot: (y, x, size) => (y === 0 && x === 0 ? size - 1 : -1),
  nothing: () => 0,
};

let channel = 0; // of the input, the one in large
let chosen = [0, 0]; // the weight with the slider
let edited = null; // the last edit, until the lab's answer has it: answers to earlier ones may still be on their way

/** The elements of the explanation; `update` shows another number of the same layer. */
export function kernelExplanation(first, layer) {
  let explained = first;
  const [height, width, channels] = [first.kernel.length, first.kernel[0].length, first.kernel[0][0].length];
  channel = clamp(channel, channels);
  chosen = [clamp(chosen[0], height), clamp(chosen[1], width)];
  const window = numberGrid(height, width, { label: "The window of the layer’s input" });
  const kernel = numberGrid(height, width, {
    label: "The kernel. Arrow keys choose a weight; plus, minus and 0 change it.",
    editable: true,
  });
  const slider = element("input", { type: "range", min: -RANGE, max: RANGE, step: 0.01, "aria-label": "The chosen weight" });
  const number = element("input", { type: "number", step: STEP, "aria-label": "The chosen weight, as a number" });
  const undo = element("button", { type: "button", class: "chip", id: "undo" }, "undo edits");
  const lines = element("dl", { class: "equation" });
  const strip = channels > 1 ? channelStrip(height, width, channels, (next) => [(channel = next), update(explained)]) : null;

  const target = () => ({ layer: explained.layer, channel, filter: explained.place[2] });
  const values = () => withEdit(channelOf(explained.kernel, channel), JSON.stringify(target()));
  const weight = () => values()[chosen[0]][chosen[1]];
  const change = (to) => {
    edited = { what: JSON.stringify(target()), values: to, time: performance.now() };
    send({ do: "edit", ...target(), values: to });
    update(explained);
    setTimeout(() => kernel.grid.isConnected && update(explained), BELIEVED);
  };
  const changeWeight = (value) => {
    if (!(Math.abs(value) <= LARGEST)) {
      complain(`A weight is a number from −${LARGEST} to ${LARGEST}; it stays as it was.`);
      number.value = Number(weight().toFixed(3));
      return;
    }
    const next = values().map((row) => [...row]);
    next[chosen[0]][chosen[1]] = Number(value.toFixed(4));
    change(next);
  };

  kernel.cells.forEach((cell, index) => {
    const [row, column] = [Math.floor(index / width), index % width];
    cell.setAttribute("aria-label", `weight in row ${row + 1}, column ${column + 1}`);
    cell.addEventListener("focus", () => [(chosen = [row, column]), update(explained)]);
    cell.addEventListener("keydown", (event) => {
      const step = arrow(event);
      const changed = { "+": weight() + STEP, "=": weight() + STEP, "-": weight() - STEP, 0: 0 }[event.key];
      if (step) kernel.cells[clamp(row + step[0], height) * width + clamp(column + step[1], width)].focus();
      else if (changed !== undefined) changeWeight(changed);
      else return;
      event.preventDefault();
    });
  });
  slider.addEventListener("input", () => changeWeight(Number(slider.value)));
  number.addEventListener("change", () => changeWeight(number.value.trim() === "" ? NaN : Number(number.value)));
  undo.addEventListener("click", () => [(edited = null), send({ do: "restore" })]);
  const ready = Object.entries(READY).map(([name, at]) => {
    const button = element("button", { type: "button", class: "chip" }, name);
    button.addEventListener("click", () => change(readyKernel(at, height, width)));
    return button;
  });

  function update(next) {
    explained = next;
    const { window: seen, kernel: weights, kernel_gradient: gradient } = explained;
    const shown = gradient ?? seen;
    const scale = largest(shown);
    const exponent = gradient ? cellExponent(scale) : 0;
    window.set(channelOf(shown, channel), scale, 10 ** exponent);
    windowPart.firstChild.textContent = [
      gradient ? "kernel’s gradient" : "the window",
      exponent ? ` × ${powerOfTen(exponent)}` : "",
      channels > 1 ? `, channel ${channel + 1}` : "",
    ].join("");
    kernelPart.firstChild.textContent = `${gradient ? "" : "× "}the kernel: change it!`;
    kernel.set(values(), largest([weights, values()]));
    kernel.cells.forEach((cell, index) => {
      const isChosen = index === chosen[0] * width + chosen[1];
      cell.setAttribute("tabindex", isChosen ? 0 : -1);
      cell.classList.toggle("chosen", isChosen);
    });
    slider.value = weight();
    if (document.activeElement !== number) number.value = Number(weight().toFixed(3));
    strip?.show(seen, weights, explained.sums, channel);
    if (gradient) lines.replaceChildren(...gradientLines(weight(), gradient[chosen[0]][chosen[1]][channel]));
    else lines.replaceChildren(...equation(sumLines(explained), explained.adds_up));
  }

  const windowPart = labelled("", window.grid);
  const kernelPart = labelled("", kernel.grid, element("div", { class: "row weight" }, slider, number));
  const elements = [
    windowPart,
    kernelPart,
    element("div", { class: "part sum" }, ...(strip ? [strip.element] : []), lines, element("div", { class: "row shapes" }, ...ready, undo)),
  ];
  return { elements, update, undo };
}

/** What the lab says of a kernel, or what it will say when it has heard of the last edit. */
function withEdit(values, what) {
  if (edited?.what !== what) return values;
  const isAnswered = values.every((row, y) => row.every((value, x) => Math.abs(value - edited.values[y][x]) < 1e-4));
  if (isAnswered || performance.now() - edited.time >= BELIEVED) edited = null;
  return edited?.values ?? values;
}

function sumLines({ sums, bias, total, value, activation }) {
  const rows = [["window × kernel", sums[channel]]];
  if (sums.length > 1) rows.push([`all ${sums.length} channels`, sums.reduce((a, b) => a + b, 0)]);
  rows.push(["+ bias", bias], ["=", total]);
  return activation === "linear" ? rows : [...rows, [activation, value]];
}

function gradientLines(weight, gradient) {
  const line = (name, text) => [element("dt", {}, name), element("dd", {}, text)];
  const advice = gradient === 0 ? "leaves it" : gradient > 0 ? "shrinks it ↓" : "lets it grow ↑";
  return [...line("this weight", short(weight, 4)), ...line("gradient", short(gradient, 4)), ...line("training", advice)];
}

/** Small pictures of window and kernel for each channel, to choose one; and what each adds to the sum. */
function channelStrip(height, width, channels, choose) {
  const buttons = Array.from({ length: channels }, (_, index) => {
    const button = element(
      "button",
      { type: "button", "aria-label": `input channel ${index + 1}`, title: `input channel ${index + 1}: window, kernel, and the sum of their products` },
      element("canvas"),
      element("canvas"),
      element("span"),
    );
    button.addEventListener("click", () => choose(index));
    return button;
  });
  const show = (seen, weights, sums, current) =>
    buttons.forEach((button, index) => {
      const [first, second, sum] = button.children;
      paint(first, toBytes(channelOf(seen, index).flat(), largest(seen)), width, height);
      paint(second, toBytes(channelOf(weights, index).flat(), largest(weights)), width, height);
      sum.textContent = brief(sums[index]);
      button.setAttribute("aria-pressed", index === current);
    });
  return { element: element("div", { class: "channels", role: "group", "aria-label": "Input channels" }, ...buttons), show };
}

function readyKernel(at, height, width) {
  const rows = Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (_, x) => at(y - (height >> 1), x - (width >> 1), height * width)),
  );
  const size = rows.flat().reduce((sum, value) => sum + Math.abs(value), 0) || 1;
  return rows.map((row) => row.map((value) => Number(((STRENGTH * value) / size).toFixed(4))));
}
