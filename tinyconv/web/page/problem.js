// The place for a sentence about what did not work.

import { byId } from "./dom.js";

const SECONDS = 8; // long enough to read it

let fading = 0;

/** Show a sentence for some seconds or, to `stay`, until `settled`. */
export function complain(sentence, stay = false) {
  clearTimeout(fading);
  byId("problem").textContent = sentence;
  byId("problem").hidden = false;
  if (!stay) fading = setTimeout(settled, 1000 * SECONDS);
}

export function settled() {
  byId("problem").hidden = true;
}
