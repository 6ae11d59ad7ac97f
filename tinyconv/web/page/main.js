// Puts the parts of the page together.

import * as colors from "./colors.js";
import * as connection from "./connection.js";
import * as draw from "./draw.js";
import * as network from "./network-view.js";
import * as probe from "./probe.js";
import * as steps from "./steps.js";
import * as training from "./training.js";
import { byId, element } from "./dom.js";
import { complain, settled } from "./problem.js";

/** What the network is, in a sentence. */
function story({ source, status, epochs_seen: epochs }) {
  if (status === "running") return "It is learning: watch its kernels, its maps and its mistakes.";
  if (source === "yours") return "Your network. Draw a digit, and look inside.";
  if (source === "trained") return "A network that has learnt digits. Draw one, and look inside.";
  return epochs ? `It has learnt for ${epochs} epochs, from random weights.` : "Random weights: it has learnt nothing yet.";
}

let noticed = 0;
let firstPicture = true;
let shown = []; // times of the last pictures

colors.start(byId("theme"));
draw.start();
network.start(probe.choose);
probe.start();
steps.start();
training.start();
colors.onColors(() => colors.paint(byId("scale"), Int8Array.from({ length: 127 }, (_, index) => 2 * (index - 63)), 127, 1));

byId("example").addEventListener("click", () => connection.send({ do: "example" }));
byId("backend").addEventListener("change", ({ target }) => connection.send({ do: "backend", name: target.value }));

connection.on("network", (description) => {
  network.build(description);
  probe.setNetwork(description);
  steps.setNetwork(description);
  connection.onConnect(draw.resend, probe.ask, steps.tell);
  probe.ask();
});

connection.on("picture", (picture) => {
  network.show(picture);
  probe.setPicture(picture);
  steps.setPicture(picture);
  draw.showGradient(picture.of === "gradients" ? picture.arrays.get("input") : null);
  const top = Math.max(...picture.probabilities);
  byId("reading").textContent = `It reads ${picture.probabilities.indexOf(top)}, with ${Math.round(100 * top)} %.`;
  showSpeed(picture.milliseconds);
  if (firstPicture) draw.welcome();
  firstPicture = false;
});

connection.on("state", (state) => {
  training.setState(state);
  const { busy, backends, backend, backend_to_come: coming, pages } = state;
  byId("backend").replaceChildren(...backends.map((name) => element("option", { value: name, selected: name === (coming ?? backend) }, name)));
  const waits = coming && coming !== backend && !busy.length ? [`${coming} takes over after this epoch.`] : [];
  const learns = state.training?.first ? ["First start: the network learns to read, a quarter of a minute. Draw meanwhile!"] : [];
  const others = pages > 1 ? [`${pages} pages look at this network.`] : [];
  const news = [...learns, ...busy, ...waits];
  byId("story").textContent = [...(news.length ? news : [story(state)]), ...others].join(" ");
  probe.setState(state);
  const [count, sentence] = state.notice;
  if (count > noticed) complain(sentence);
  noticed = count;
});

connection.on("example", ({ image, label }) => {
  draw.load(image);
  byId("pen").textContent = `Somebody’s ${label} is on the pad.`;
});

connection.on("waiting", ({ waiting }) => byId("network").setAttribute("aria-busy", waiting));
connection.on("problem", ({ sentence }) => complain(sentence));
connection.on("connected", settled);
connection.on("lost", ({ code, reason }) => complain(reason || (code === 1009 ? "That message was too large for the lab." : "The lab does not answer. It is asked again every second; is `tinyconv lab open` still running?"), true));

function showSpeed(milliseconds) {
  const now = performance.now();
  shown = [...shown.filter((time) => now - time < 1000), now];
  byId("speed").textContent = `${milliseconds.toFixed(1)} ms${shown.length > 5 ? ` · ${shown.length} pictures a second` : ""}`;
}

connection.connect();
