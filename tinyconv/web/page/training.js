// Training: the buttons, the curves of loss and accuracy, and the digits that are still read wrongly.

import { isDark, onColors, paint } from "./colors.js";
import { on, send } from "./connection.js";
import { byId, element, short } from "./dom.js";

const COLORS = { train: ["#d9622b", "#f08a4b"], test: ["#1f6fb4", "#6aaee8"] }; // on light and on dark
let points = [];
let state = null;
let mistakes = null;

export function start() {
  byId("train").addEventListener("click", () => {
    if (state.status === "idle") send({ do: "train", epochs: state.epochs_per_training, learning_rate: rate() });
    else send({ do: state.status === "running" ? "pause" : "resume" });
  });
  byId("end").addEventListener("click", () => send({ do: "end" }));
  byId("forget").addEventListener("click", () => send({ do: "forget" }));
  byId("rate").addEventListener("input", () => {
    showRate(rate());
    send({ do: "learning_rate", value: rate() });
  });
  on("curves", (news) => {
    points = [...points.slice(0, news.begin), ...news.points];
    draw();
  });
  on("mistakes", (news) => {
    mistakes = news;
    showMistakes();
  });
  onColors(() => {
    draw();
    if (mistakes) showMistakes();
  });
  new ResizeObserver(draw).observe(byId("loss"));
}

function rate() {
  return Number((10 ** Number(byId("rate").value)).toPrecision(2));
}

function showRate(value) {
  byId("rate-value").textContent = value;
  byId("rate").setAttribute("aria-valuetext", value);
}

export function setState(next) {
  state = next;
  const { status, training } = state;
  byId("train").textContent = { idle: "Train", running: "Pause", paused: "Go on" }[status];
  byId("train").disabled = !state.ready;
  byId("end").disabled = status === "idle";
  byId("forget").disabled = status !== "idle";
  if (document.activeElement !== byId("rate")) {
    byId("rate").value = Math.log10(state.learning_rate);
    showRate(Number(state.learning_rate.toPrecision(2)));
  }
  byId("progress").textContent = training ? `epoch ${Math.min(training.epoch + 1, training.epochs)} of ${training.epochs}, step ${training.step} of ${training.steps}${status === "paused" ? ", paused" : ""}` : "";
}

function showMistakes() {
  const { wrong, of, digits } = mistakes;
  byId("mistakes-title").textContent = `The test: ${((100 * (of - wrong)) / of).toFixed(1)} % of ${of} real digits are right. The mistakes:`;
  byId("mistakes").replaceChildren(
    ...digits.map(({ image, label, read, probability }) => {
      const canvas = element("canvas", { role: "img", "aria-label": `a ${label}, read as ${read}` });
      const bytes = Int8Array.from(atob(image), (character) => character.charCodeAt(0) >> 1);
      paint(canvas, bytes, 28, 28);
      return element("li", { title: `a ${label}, read as ${read} with ${Math.round(100 * probability)} %` }, canvas, element("span", {}, `${label} → ${read}`));
    }),
  );
}

function draw() {
  curve("loss", (value) => short(value), ["loss", "val_loss"], true);
  curve("accuracy", (value) => `${(100 * value).toFixed(1)} %`, ["accuracy", "val_accuracy"], false);
}

/** One small chart: the running training numbers as a line, those of the test as a line with dots. */
function curve(id, text, [train, test], fromZero) {
  const canvas = byId(id);
  const ratio = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width) return;
  Object.assign(canvas, { width: width * ratio, height: height * ratio });
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const style = getComputedStyle(document.body);
  const [ink, faint] = [style.getPropertyValue("--quiet"), style.getPropertyValue("--line")];
  const left = 34, right = 8, top = 8, bottom = 16;
  const last = Math.max(1, ...points.map(({ epoch }) => epoch));
  const values = points.flatMap((point) => [point[train], point[test]]).filter((value) => value !== undefined);
  const most = fromZero ? Math.max(0.2, ...values.slice(0, 400)) : 1;
  const least = fromZero ? 0 : Math.floor(10 * Math.min(0.9, ...values)) / 10;
  const x = (epoch) => left + ((width - left - right) * epoch) / last;
  const y = (value) => height - bottom - ((height - top - bottom) * (Math.min(value, most) - least)) / (most - least);
  context.font = "10px ui-sans-serif, system-ui, sans-serif";
  context.fillStyle = ink;
  context.strokeStyle = faint;
  context.lineWidth = 1;
  for (const value of [least, (least + most) / 2, most]) {
    context.beginPath();
    context.moveTo(left, Math.round(y(value)) + 0.5);
    context.lineTo(width - right, Math.round(y(value)) + 0.5);
    context.stroke();
    context.textAlign = "right";
    context.fillText(fromZero ? Number(value.toPrecision(2)) : `${Math.round(100 * value)} %`, left - 4, y(value) + 3);
  }
  context.textAlign = "center";
  const every = Math.max(1, Math.ceil(last / 6));
  for (let epoch = 0; epoch <= last; epoch += every) context.fillText(epoch, x(epoch), height - 3);
  if (!points.length) context.fillText("nothing yet: let it train", (left + width - right) / 2, y((least + most) / 2) - 5);
  for (const [name, color] of [[train, COLORS.train], [test, COLORS.test]]) {
    const line = points.filter((point) => point[name] !== undefined);
    context.strokeStyle = context.fillStyle = color[isDark() ? 1 : 0];
    context.lineWidth = 1.5;
    context.beginPath();
    for (const point of line) context.lineTo(x(point.epoch), y(point[name]));
    context.stroke();
    if (name === test) {
      for (const point of line) {
        context.beginPath();
        context.arc(x(point.epoch), y(point[name]), 2.5, 0, 7);
        context.fill();
      }
    }
  }
  const now = (name) => points.findLast((point) => point[name] !== undefined)?.[name];
  const [training, testing] = [now(train), now(test)];
  byId(`${id}-now`).replaceChildren(
    ...(training === undefined ? [] : [element("span", { class: "train-color" }, `${text(training)} train`)]),
    ...(testing === undefined ? [] : [" ", element("span", { class: "test-color" }, `${text(testing)} test`)]),
  );
  canvas.setAttribute("aria-label", points.length ? `${id} over ${last.toFixed(1)} epochs, now ${byId(`${id}-now`).textContent}` : `${id}: nothing yet`);
}
