// The worklist that updates itself: told by the box when something changed, asking now and then where it cannot be told.

import { answers, ask } from "./answers.js";

const lists = document.getElementById("lists"), banner = document.getElementById("banner");
const ASK_MS = 10_000, WAIT_MS = 60_000; // the second: how long each patient has waited is told anew
let source = null, beats = lists.dataset.beats, asking = false;

async function update() {
  if (asking) return;
  asking = true;
  try {
    const answer = await ask(lists.dataset.lists + location.search, { headers: { Accept: "text/html" } });
    if (answer.redirected || answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error(String(answer.status));
    show(await answer.text());
  } catch {
    answers(); // which the page says, when it does not
  } finally {
    asking = false;
  }
}

function show(text) {
  const known = new Set([...lists.querySelectorAll("[data-key]")].map(row => row.dataset.key));
  const focused = document.activeElement?.closest?.("[data-key]")?.dataset.key;
  const fresh = new DOMParser().parseFromString(text, "text/html");
  const said = fresh.querySelector("[data-banner]");
  if (said) banner.replaceChildren(...said.content.childNodes);
  lists.replaceChildren(...fresh.body.childNodes);
  for (const row of lists.querySelectorAll("[data-key]")) {
    if (!known.has(row.dataset.key)) row.classList.add("fresh");
    if (row.dataset.key === focused) row.focus();
  }
}

function listen() {
  source = new EventSource(`${lists.dataset.events}?seen=${beats}`);
  source.addEventListener("changed", event => {
    beats = event.data;
    update();
  });
}

// A page that nobody looks at gives its stream back: each one keeps a thread of a small box.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    source?.close();
    source = null;
  } else {
    update();
    listen();
  }
});
document.addEventListener("keydown", event => { // as on the page of a case: the next patient, who waits longest of the most urgent
  if (event.key.toLowerCase() !== "n" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  lists.querySelector("a.row")?.click();
});
document.addEventListener("answers", update);
setInterval(() => document.hidden || update(), WAIT_MS);
setInterval(() => {
  if (document.hidden) return;
  if (source?.readyState === EventSource.OPEN) return;
  update();
  if (source?.readyState === EventSource.CLOSED) listen();
}, ASK_MS);
listen();
