// Whether the page is one column, as on a phone; the same width as in style.css.

export const narrow = matchMedia("(max-width: 1219px)");
