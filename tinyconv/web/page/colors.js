// One colour scale for every number on the page: blue is negative, orange is positive, paper is zero.
// Blue and orange stay apart for all common kinds of colour blindness; the stops follow ColorBrewer's Blues and Oranges.

const LIGHT = {
  negative: ["#08306b", "#2171b5", "#6baed6", "#c6dbef", "#fbfaf7"],
  positive: ["#fbfaf7", "#fdd0a2", "#fd8d3c", "#d94801", "#7f2704"],
};
const DARK = {
  negative: ["#dbe9fa", "#8fbcea", "#3f86cc", "#1f4673", "#1c1d21"],
  positive: ["#1c1d21", "#6e3a14", "#cf6a1b", "#fda35a", "#ffe9d2"],
};

let table = null; // Uint32 colours of the bytes -128 … 127, as ImageData has them
let styles = null; // the same as CSS colours
const listeners = [];

/** Call `listener` now and whenever the colours change. */
export function onColors(listener) {
  listeners.push(listener);
  if (table) listener();
}

export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function rebuild() {
  const { negative, positive } = isDark() ? DARK : LIGHT;
  const bytes = new Uint8ClampedArray(256 * 4);
  styles = [];
  for (let index = 0; index < 256; index++) {
    const level = Math.max(-1, (index - 128) / 127);
    const [r, g, b] = level < 0 ? between(negative, level + 1) : between(positive, level);
    bytes.set([r, g, b, 255], 4 * index);
    styles.push(`rgb(${r} ${g} ${b})`);
  }
  table = new Uint32Array(bytes.buffer);
  for (const listener of listeners) listener();
}

function between(stops, share) {
  const at = share * (stops.length - 1);
  const first = Math.min(stops.length - 2, Math.floor(at));
  const [from, to] = [rgb(stops[first]), rgb(stops[first + 1])];
  return from.map((value, channel) => Math.round(value + (to[channel] - value) * (at - first)));
}

function rgb(hex) {
  return [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
}

/** Paint signed bytes on a canvas of as many pixels. */
export function paint(canvas, bytes, width, height) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let index = 0; index < pixels.length; index++) pixels[index] = table[bytes[index] + 128];
  context.putImageData(image, 0, 0);
}

/** Signed bytes of numbers, of which the largest in size, or `scale`, gets the full colour. */
export function toBytes(numbers, scale = Math.max(...numbers.map(Math.abs)) || 1) {
  return Int8Array.from(numbers, (number) => Math.round(Math.max(-1, Math.min(1, number / scale)) * 127));
}

/** The CSS colour of a number, and black or white to write on it. */
export function cellColors(number, scale) {
  const index = 128 + Math.round(Math.max(-1, Math.min(1, number / (scale || 1))) * 127);
  const strong = Math.abs(index - 128) > 70;
  return { background: styles[index], color: strong === isDark() ? "#17171a" : "#f7f6f3", strong };
}

export function start(button) {
  const say = () => {
    button.textContent = isDark() ? "☀" : "☾";
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", rebuild);
  button.addEventListener("click", () => {
    const next = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    localStorage.setItem("tinyconv-theme", next);
    rebuild();
  });
  listeners.push(say);
  rebuild();
}
