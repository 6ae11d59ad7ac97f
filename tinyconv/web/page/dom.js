// Making elements, in one line each.

/** element("button", { class: "map", tabindex: -1 }, "text", child, …) */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

export function byId(id) {
  return document.getElementById(id);
}

/** A number in a few characters: 0.123, -4.5, 12; 2e-5, 3e+9. */
export function short(number, digits = 3) {
  if (number === null || number === undefined) return "not a number";
  if (number === 0) return "0";
  const size = Math.abs(number);
  if (size < 10 ** -digits || size >= 1e6) return number.toExponential(0).replace("e-", "e−").replace(/^-/, "−");
  const places = Math.max(0, digits - 1 - Math.max(0, Math.floor(Math.log10(size))));
  return number.toFixed(size < 1 ? digits : places).replace(/^-/, "−");
}

/** 24 × 24 × 6 */
export function shape(sizes) {
  return sizes.join("×");
}

/** 10⁻⁵ */
export function powerOfTen(exponent) {
  return `10${String(exponent).replace("-", "⁻").replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit])}`;
}
