// Light or dark: the system's choice until the button has been pressed.  Runs before the page is drawn.
try {
  const remembered = localStorage.getItem("tinyconv-theme");
  if (remembered) document.documentElement.dataset.theme = remembered;
} catch {
  // a browser that keeps nothing: the system's choice it is
}
