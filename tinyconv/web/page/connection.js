// The WebSocket to the bench: drawings go out, pictures and news come in, and a lost connection comes back.

const handlers = new Map(); // kind of message → function
const SECONDS_BETWEEN_TRIES = 1;

let socket = null;
let drawing = null; // bytes that have not been sent yet: only the latest is kept
let waiting = false; // for the picture of the drawing that was sent last
let serial = 0;
let repeat = []; // what a new connection must be told again

export function on(kind, handler) {
  handlers.set(kind, handler);
}

/** Ask the bench to do something; forgotten while there is no connection. */
export function send(words) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(words));
}

/** Send a drawing, 784 bytes; while the network is busy with one, only the newest of the others is kept. */
export function sendDrawing(bytes) {
  drawing = bytes;
  sendLatest();
}

/** `words` of each function are sent whenever a connection is made. */
export function onConnect(...functions) {
  repeat = functions;
}

function sendLatest() {
  if (!drawing || waiting || socket?.readyState !== WebSocket.OPEN) return;
  serial = (serial + 1) % 2 ** 32;
  const message = new Uint8Array(4 + drawing.length);
  new DataView(message.buffer).setUint32(0, serial, true);
  message.set(drawing, 4);
  socket.send(message);
  drawing = null;
  wait(true);
}

function wait(yes) {
  waiting = yes;
  tell("waiting", { waiting });
}

export function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/bench`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    wait(false);
    tell("connected", {});
    for (const again of repeat) again();
  };
  socket.onmessage = ({ data }) => receive(data);
  socket.onclose = ({ code, reason }) => {
    tell("lost", { code, reason });
    setTimeout(connect, 1000 * SECONDS_BETWEEN_TRIES);
  };
}

function receive(data) {
  if (typeof data === "string") {
    const { kind, ...content } = JSON.parse(data);
    tell(kind, content);
    return;
  }
  const { kind, ...content } = unpack(data);
  if (content.serial === serial && waiting) {
    wait(false);
    sendLatest();
  }
  tell(kind, content);
  requestAnimationFrame(() => send({ do: "seen" })); // no more news until these are painted
}

/** A JSON header and arrays of signed bytes; see tinyconv/web/look.py. */
function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let offset = 4 + length;
  header.arrays = new Map(
    header.arrays.map(({ name, shape, scale }) => {
      const size = shape.reduce((a, b) => a * b, 1);
      const bytes = new Int8Array(buffer, offset, size);
      offset += size;
      return [name, { shape, scale, bytes }];
    }),
  );
  return header;
}

function tell(kind, content) {
  handlers.get(kind)?.(content);
}
