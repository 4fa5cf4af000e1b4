// An earlier image of the patient beside the one that is looked at: it follows its zoom and place.

import { ask } from "./answers.js";
import { Film, loadFrame, loadScreen } from "./film.js";

const $ = id => document.getElementById(id);
const screen = document.querySelector(".screen"), list = $("priors");
let beside = null, asked = 0;

/** Have the earlier image lie as *film* does. */
export function follow({ view }) {
  if (!beside?.frame) return;
  beside.view = { ...view };
  beside.draw();
}

function close() {
  asked++;
  $("prior")?.remove();
  beside = null;
  screen.classList.remove("split");
  $("prior-says").textContent = "";
  list.querySelectorAll(".picture").forEach(button => button.setAttribute("aria-pressed", "false"));
}

async function show(button, film) {
  const open = button.getAttribute("aria-pressed") === "true";
  close();
  if (open) return;
  const mine = asked, canvas = Object.assign(document.createElement("canvas"), { id: "prior" });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", button.dataset.text);
  button.setAttribute("aria-pressed", "true");
  screen.append(canvas);
  screen.classList.add("split");
  $("prior-says").textContent = button.dataset.text;
  beside = new Film(canvas);
  for (const load of button.dataset.screen ? [loadScreen, loadFrame] : [loadFrame]) {
    try {
      const frame = await load(button.dataset.frame);
      if (mine !== asked) return;
      beside.show(frame, !beside.frame);
      follow(film);
    } catch { /* of a missing one there is no picture */ }
  }
}

/** The button that looks for them. */
export function offerPriors(film) {
  const button = $("look-back");
  if (!button) return;
  button.addEventListener("click", async () => {
    if (!list.hidden) {
      close();
      list.hidden = true;
    } else {
      const answer = await ask(button.dataset.url).catch(() => null);
      if (!answer?.ok) return;
      list.replaceChildren(...new DOMParser().parseFromString(await answer.text(), "text/html").body.childNodes);
      list.querySelectorAll(".picture").forEach(one => one.addEventListener("click", () => show(one, film)));
      list.hidden = false;
    }
    button.setAttribute("aria-pressed", String(!list.hidden));
  });
  new ResizeObserver(() => beside?.draw()).observe(screen);
}
