// What explanations are made of: a large map, grids of numbers, lines of an equation.

import { cellColors, paint } from "./colors.js";
import { element, short } from "./dom.js";

const BIGGEST = 7; // grids with larger sides show colours without numbers
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** [rows, columns] that an arrow key moves by, or undefined. */
export function arrow(event) {
  return ARROWS[event.key];
}

export function clamp(index, size) {
  return Math.max(0, Math.min(size - 1, index));
}

/** Which of height × width pixels of an element an event is over: [row, column]. */
export function pixelAt(event, box, height, width) {
  const [y, x] = [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width];
  return [clamp(Math.floor(y * height), height), clamp(Math.floor(x * width), width)];
}

/** A box around rows and columns [first, last] of an image. */
export function frame([top, bottom], [left, right], [height, width], kind) {
  const box = element("div", { class: kind });
  const sides = [top / height, 1 - (right + 1) / width, 1 - (bottom + 1) / height, left / width];
  box.style.inset = sides.map((share) => `${100 * share}%`).join(" ");
  return box;
}

/** A feature map, enlarged; `choose(row, column, pin)` is called for pixels that are pointed at. */
export function largeMap([height, width], choose) {
  const canvas = element("canvas");
  const marks = element("div", { class: "marks" });
  const label = "The feature map, enlarged. Arrow keys choose a pixel.";
  const map = element("div", { class: "big", tabindex: 0, role: "application", "aria-label": label }, canvas, marks);
  let place = [0, 0];
  const at = (event) => pixelAt(event, canvas.getBoundingClientRect(), height, width);
  map.addEventListener("pointermove", (event) => choose(...at(event), event.buttons > 0));
  map.addEventListener("pointerdown", (event) => choose(...at(event), true));
  map.addEventListener("pointerleave", () => choose());
  map.addEventListener("keydown", (event) => {
    const step = arrow(event);
    if (!step) return;
    event.preventDefault();
    choose(clamp(place[0] + step[0], height), clamp(place[1] + step[1], width), true);
  });
  const show = ([row, column, channel], array) => {
    place = [row, column];
    if (array) paint(canvas, array.bytes.subarray(channel * height * width, (channel + 1) * height * width), width, height);
    marks.replaceChildren(frame([row, row], [column, column], [height, width], "one"));
  };
  return { map, show };
}

/** height × width cells, buttons if `editable`; `set(rows, scale, unit)` writes numbers / unit on them, and their colours. */
export function numberGrid(height, width, { label, editable = false }) {
  const cells = Array.from({ length: height * width }, () =>
    editable ? element("button", { type: "button", tabindex: -1 }) : element("span"),
  );
  const grid = element("div", { class: "grid", role: editable ? "group" : "img", "aria-label": label }, ...cells);
  grid.style.setProperty("--columns", width);
  const written = Math.max(height, width) <= BIGGEST;
  const set = (rows, scale, unit = 1) =>
    rows.flat().forEach((number, index) => {
      const { background, color } = cellColors(number ?? 0, scale);
      cells[index].style.background = number === null ? "" : background; // null is padding
      cells[index].style.color = color;
      if (written) cells[index].textContent = number === null ? "" : brief(number / unit);
    });
  return { grid, cells, set };
}

/** A number for a small cell: .52, −1.3 */
export function brief(number) {
  const size = Math.abs(number);
  const text = number.toFixed(size >= 9.95 ? 0 : size >= 0.995 ? 1 : 2);
  return Number(text) === 0 ? "0" : text.replace("-", "−").replace(/^(−?)0\./, "$1.");
}

/** The power of ten that leaves a small cell two digits of numbers up to `size`: 0 where it has them anyway. */
export function cellExponent(size) {
  return size < 0.1 || size >= 100 ? Math.floor(Math.log10(size)) : 0;
}

/** The largest size of any number in nested arrays; gradients of a sure network are very small. */
export function largest(numbers) {
  return Math.max(1e-99, ...numbers.flat(Infinity).map((number) => Math.abs(number ?? 0)));
}

/** One channel of height × width × channels. */
export function channelOf(volume, channel) {
  return volume.map((row) => row.map((values) => values[channel]));
}

export function labelled(text, ...children) {
  return element("div", { class: "part" }, element("p", { class: "label" }, text), ...children);
}

/** An equation as lines [name, number]; the last one is what the layer has put out, and says whether that is so. */
export function equation(lines, addsUp) {
  return lines.flatMap(([name, number], index) => {
    const isResult = index === lines.length - 1;
    const title = !isResult ? null : addsUp ? "equal to what the layer has put out" : "not what the layer has put out!";
    const text = short(number, 4) + (!isResult ? "" : addsUp ? " ✓" : " ✗");
    return [element("dt", {}, name), element("dd", { class: isResult ? "result" : null, title }, text)];
  });
}
