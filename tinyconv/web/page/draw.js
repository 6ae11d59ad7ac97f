// The drawing pad: 28 × 28 pixels of ink, by mouse, finger, pen or keyboard.  What you see is what the network gets.

import { sendDrawing } from "./connection.js";
import { onColors, paint } from "./colors.js";

const SIDE = 28;
const RADIUS = 1.3; // of the round brush, in pixels
const SEVEN = [[[6.5, 6.5], [21, 6]], [[21, 6], [17, 13], [13.5, 22.5]]]; // what the page draws to begin with

const ink = new Uint8ClampedArray(SIDE * SIDE);
let canvas, pad, hint, pen, cursor, eraser;
let last = null; // where the pen was
let keyboard = { x: 14, y: 8, down: false };
let untouched = true; // nothing on the pad was drawn by the visitor

export function start() {
  [canvas, pad, hint, pen, cursor, eraser] = ["ink", "pad", "hint", "pen", "cursor", "eraser"].map((id) =>
    document.getElementById(id),
  );
  pad.addEventListener("pointerdown", down);
  pad.addEventListener("pointermove", move);
  for (const kind of ["pointerup", "pointercancel"]) pad.addEventListener(kind, up);
  pad.addEventListener("contextmenu", (event) => event.preventDefault());
  pad.addEventListener("keydown", key);
  pad.addEventListener("focus", showCursor);
  pad.addEventListener("blur", () => {
    cursor.hidden = true;
    keyboard.down = false;
  });
  document.getElementById("clear").addEventListener("click", clear);
  onColors(show);
}

/** The bytes, for a new connection. */
export function resend() {
  sendDrawing(Uint8Array.from(ink));
}

/** Put someone's digit on the pad: base64 of 784 bytes. */
export function load(image) {
  ink.set(Uint8Array.from(atob(image), (character) => character.charCodeAt(0)));
  untouched = false;
  changed();
}

export function clear() {
  ink.fill(0);
  untouched = false;
  changed();
  pen.textContent = "The pad is empty.";
}

/** Lay the gradient of the drawing over it, or take it away. */
export function showGradient(array) {
  const canvas = document.getElementById("ink-gradient");
  canvas.hidden = !array;
  if (array) paint(canvas, array.bytes, SIDE, SIDE);
}

/** Draw a seven, stroke by stroke, for whoever opens the page; a visitor who draws takes over. */
export async function welcome() {
  const steps = 14;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  for (const stroke of SEVEN) {
    for (let index = 0; index + 1 < stroke.length; index++) {
      const [from, to] = [stroke[index], stroke[index + 1]];
      for (let step = 0; step < steps; step++) {
        if (!untouched) return;
        const at = (share) => from.map((value, axis) => value + (to[axis] - value) * share);
        stamp(at(step / steps), at((step + 1) / steps), false);
        changed();
        if (!still) await new Promise((resolve) => setTimeout(resolve, 28));
      }
    }
  }
}

function down(event) {
  event.preventDefault();
  pad.focus({ preventScroll: true });
  cursor.hidden = true;
  if (untouched) ink.fill(0);
  untouched = false;
  pad.setPointerCapture(event.pointerId);
  last = place(event);
  stamp(last, last, erases(event));
  changed();
}

function move(event) {
  if (!last) return;
  for (const each of event.getCoalescedEvents?.() ?? [event]) {
    const next = place(each);
    stamp(last, next, erases(event));
    last = next;
  }
  changed();
}

function up() {
  last = null;
}

function erases(event) {
  return eraser.checked || event.buttons === 2 || event.buttons === 32;
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) / box.width) * SIDE, ((event.clientY - box.top) / box.height) * SIDE];
}

function key(event) {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const here = () => [keyboard.x + 0.5, keyboard.y + 0.5];
  if (step) {
    const from = here();
    keyboard.x = Math.max(0, Math.min(SIDE - 1, keyboard.x + step[0]));
    keyboard.y = Math.max(0, Math.min(SIDE - 1, keyboard.y + step[1]));
    if (keyboard.down) stamp(from, here(), eraser.checked);
    pen.textContent = `Row ${keyboard.y + 1}, column ${keyboard.x + 1}.`;
  } else if (event.key === " ") {
    if (untouched) ink.fill(0);
    keyboard.down = !keyboard.down;
    if (keyboard.down) stamp(here(), here(), eraser.checked);
    pen.textContent = keyboard.down ? "The pen is down." : "The pen is up.";
  } else if (event.key === "Backspace") {
    stamp(here(), here(), true);
  } else if (event.key === "Delete") {
    clear();
  } else if (event.key === "Escape") {
    keyboard.down = false;
  } else {
    return;
  }
  event.preventDefault();
  if (!step || keyboard.down) {
    untouched = false;
    changed();
  }
  showCursor();
}

function showCursor() {
  cursor.hidden = !pad.matches(":focus-visible");
  cursor.classList.toggle("down", keyboard.down);
  cursor.style.left = `${(100 * keyboard.x) / SIDE}%`;
  cursor.style.top = `${(100 * keyboard.y) / SIDE}%`;
}

/** Ink, or none, where a round brush goes straight from one place to another; the same rule as in handwriting.py. */
function stamp(from, to, erase) {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const length = dx * dx + dy * dy || 1;
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const [px, py] = [x + 0.5 - from[0], y + 0.5 - from[1]];
      const along = Math.max(0, Math.min(1, (px * dx + py * dy) / length));
      const cover = RADIUS + 0.5 - Math.hypot(px - along * dx, py - along * dy);
      if (cover <= 0) continue;
      const value = 255 * Math.min(1, cover);
      const index = y * SIDE + x;
      ink[index] = erase ? Math.min(ink[index], 255 - value) : Math.max(ink[index], value);
    }
  }
}

let scheduled = false;

function changed() {
  hint.hidden = true;
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    show();
    resend();
  });
}

function show() {
  paint(canvas, Int8Array.from(ink, (value) => value >> 1), SIDE, SIDE);
}
