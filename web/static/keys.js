// The keys of the case page, the list of them, the dark reading room and the full screen.

const $ = id => document.getElementById(id);
const help = $("keys"), DARK = "lantern.dark";

/** Not while somebody types, or a button or slider has the key for itself. */
function taken({ target, key, ctrlKey, metaKey, altKey }) {
  if (ctrlKey || metaKey || altKey || document.querySelector("dialog[open]")) return true;
  if (target.closest("textarea, select, input:not([type=range], [type=checkbox], [type=radio])")) return true;
  return key === " " && Boolean(target.closest("button, a, summary, input"));
}

/** Have each key of *acts* do its work; Shift counts as nothing, so that "?" is found on every keyboard. */
export function listen(acts) {
  document.addEventListener("keydown", event => {
    const act = acts[event.key.toLowerCase()];
    if (!act || event.repeat || event.isComposing || taken(event)) return;
    event.preventDefault();
    act();
  });
}

/** Press what is on the page, is shown, and can be pressed. */
export function press(selector) {
  const button = [...document.querySelectorAll(selector)].find(one => one.checkVisibility?.() ?? one.offsetParent);
  if (button && !button.disabled) button.click();
}

function darken(dark) {
  document.documentElement.classList.toggle("dark", dark);
  $("dark").setAttribute("aria-pressed", String(dark));
}

export const toggleDark = () => {
  const dark = !document.documentElement.classList.contains("dark");
  darken(dark);
  localStorage.setItem(DARK, dark ? "1" : "");
};
export const toggleFull = () => document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen?.();
export const showHelp = () => help.showModal();

darken(Boolean(localStorage.getItem(DARK)));
$("dark").addEventListener("click", toggleDark);
$("full").hidden = !document.fullscreenEnabled;
$("full").addEventListener("click", toggleFull);
document.addEventListener("fullscreenchange", () => $("full").setAttribute("aria-pressed", String(Boolean(document.fullscreenElement))));
$("help").addEventListener("click", showHelp);
