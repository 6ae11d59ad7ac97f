// How layers without a kernel made a number: pooling, dense, softmax, and those that treat each number alone.

import { paint, toBytes } from "./colors.js";
import { element, short } from "./dom.js";
import { narrow } from "./narrow.js";
import { equation, labelled, largest, numberGrid } from "./parts.js";

/** The maximum or the mean of a window. */
export function windowExplanation(first) {
  const [height, width] = [first.window.length, first.window[0].length];
  const window = numberGrid(height, width, { label: "The window" });
  const lines = element("dl", { class: "equation" });
  const isMax = first.kind === "max";
  const note = isMax ? "Only the winner gets the gradient on the way back." : "All share the gradient on the way back.";
  const update = ({ window: seen, winner, value, adds_up }) => {
    window.set(seen, largest(seen));
    window.cells.forEach((cell, index) => cell.classList.toggle("chosen", isMax && index === winner[0] * width + winner[1]));
    lines.replaceChildren(...equation([[isMax ? "the largest" : "the mean", value]], adds_up));
  };
  const elements = [labelled("the window", window.grid), element("div", { class: "part sum" }, lines, element("p", { class: "quiet" }, note))];
  return { elements, update };
}

/** A weighted sum of all inputs; behind Flatten the products are shown as the maps that the inputs came from. */
export function denseExplanation(first, layer, before) {
  const from = before?.class === "Flatten" && before.input_shape.length === 3 ? before.input_shape : [1, first.inputs.length, 1];
  const [height, width, channels] = from;
  const canvases = Array.from({ length: channels }, () => element("canvas"));
  const lines = element("dl", { class: "equation" });
  const update = ({ inputs, weights, bias, total, value, activation, place, adds_up }) => {
    const products = inputs.map((input, index) => input * weights[index]);
    const scale = largest(products);
    canvases.forEach((canvas, map) => paint(canvas, toBytes(products.filter((_, index) => index % channels === map), scale), width, height));
    const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
    const rows = [
      [`speaks for ${place[0]}`, sum(products.filter((product) => product > 0))],
      [`speaks against ${place[0]}`, sum(products.filter((product) => product < 0))],
      ["+ bias", bias],
      ["=", total],
    ];
    if (activation !== "linear") rows.push([activation, value]);
    lines.replaceChildren(...equation(rows, adds_up));
  };
  const text = `${first.inputs.length} inputs × their weights${channels > 1 ? `, as the ${channels} maps they came from` : ""}`;
  const elements = [labelled(text, element("div", { class: "contributions" }, ...canvases)), element("div", { class: "part sum" }, lines)];
  return { elements, update };
}

/** Scores, their exponentials, and these divided by their sum. */
export function softmaxExplanation() {
  const table = element("table", { class: "softmax" });
  const update = ({ inputs, place, adds_up }) => {
    const top = Math.max(...inputs);
    const powers = inputs.map((score) => Math.exp(score - top));
    const sum = powers.reduce((a, b) => a + b, 0);
    const lines = [
      ["digit", ...inputs.keys()],
      ["score", ...inputs.map((score) => short(score))],
      ["e^(score − largest)", ...powers.map((power) => short(power))],
      ["÷ their sum", ...powers.map((power, index) => short(power / sum) + (index !== place[0] ? "" : adds_up ? " ✓" : " ✗"))],
    ];
    const cell = (row, column) => {
      const [line, digit] = narrow.matches ? [column, row] : [row, column];
      const name = line === 0 || digit === 0 ? "th" : "td";
      const scope = row === 0 ? "col" : column === 0 ? "row" : null;
      return element(name, { scope, class: digit === place[0] + 1 ? "chosen" : null }, `${lines[line][digit]}`);
    };
    const [rows, columns] = narrow.matches ? [inputs.length + 1, lines.length] : [lines.length, inputs.length + 1];
    table.replaceChildren(
      ...Array.from({ length: rows }, (_, row) => element("tr", {}, ...Array.from({ length: columns }, (_, column) => cell(row, column)))),
    );
  };
  return { elements: [labelled("scores become probabilities: all are positive, and they add up to 1", table)], update };
}

/** One number in, one number out. */
export function plainExplanation(first) {
  const lines = element("dl", { class: "equation" });
  const graph = first.activation === "relu" ? labelled("relu", reluGraph()) : null;
  const update = ({ kind, total, activation, value, input, from, adds_up }) => {
    const rows = {
      activation: [["in", total], [activation === "relu" ? "max(in, 0)" : activation, value]],
      moved: from && [[from.length === 3 ? `row ${from[0]}, column ${from[1]} of map ${from[2] + 1}` : `number ${from[0]}`, value]],
    }[kind];
    lines.replaceChildren(...equation(rows ?? [["in", input], ["out", value]], adds_up));
    if (graph) {
      const at = Math.max(-1, Math.min(1, total / 3));
      const dot = graph.querySelector("circle");
      dot.setAttribute("cx", at);
      dot.setAttribute("cy", -Math.max(0, at));
    }
  };
  return { elements: [...(graph ? [graph] : []), element("div", { class: "part sum" }, lines)], update };
}

/** max(x, 0) for x from -3 to 3, with a dot that can be moved. */
function reluGraph() {
  const holder = element("div", { class: "graph" });
  holder.innerHTML = `<svg viewBox="-1.1 -1.1 2.2 1.4" role="img" aria-label="0 for negative numbers, then a rising line">
    <path class="axis" d="M-1.1 0H1.1M0 -1.1V.3"/><path class="curve" d="M-1 0H0L1 -1"/><circle r=".06"/></svg>`;
  return holder;
}
