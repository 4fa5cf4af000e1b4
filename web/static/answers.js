// Whether the box answers: every page asks it now and then, says when it is silent, and sends no form into a silence.

const PAUSE_MS = 4000, SILENT_PAUSE_MS = 1500, PATIENCE_MS = 8000; // a silence is told after twelve seconds at most
const notice = document.getElementById("silence"), lists = document.getElementById("lists");
let seen = new Date(), silent = false;
let leaving = null, asking = false, sent = null; // the form or link that leads away; of a form: being asked for, sent

/** `fetch` that gives up: a box that hangs keeps every connection open and says nothing on it. */
export async function ask(url, options = {}) {
  const patience = new AbortController(), timer = setTimeout(() => patience.abort(), PATIENCE_MS);
  try {
    return await fetch(url, { ...options, signal: patience.signal });
  } finally {
    clearTimeout(timer);
  }
}

/** Ask the box; true when it answers.  The page says how it is. */
export async function answers() {
  let well = false, hangs = false;
  try {
    const answer = await ask(notice.dataset.asks, { cache: "no-store" });
    well = answer.status === 204;
    const urgent = answer.headers.get("Lantern-Urgent");
    if (well) follow(answer.headers.get("Lantern-Banner"));
    if (well && urgent) document.dispatchEvent(new CustomEvent("urgent", { detail: urgent }));
  } catch (error) {
    hangs = error.name === "AbortError"; // any other also means that this page is just being left
  }
  if (well) heard();
  else missed(hangs || silent);
  return well;
}

/** Let the banner say what is so now: it was true when the page was opened, and its *mark* has changed since. */
async function follow(mark) {
  const banner = document.getElementById("banner");
  if (!mark || !banner?.dataset.from || mark === banner.dataset.mark || banner.contains(document.activeElement)) return;
  banner.dataset.mark = mark;
  try {
    const answer = await ask(banner.dataset.from, { headers: { Accept: "text/html" } });
    if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
    banner.replaceChildren(...new DOMParser().parseFromString(await answer.text(), "text/html").body.childNodes);
  } catch {
    banner.dataset.mark = ""; // asked for again with the next answer
  }
}

function heard() {
  if (lists) seen = new Date(); // the worklist follows by itself; another page shows what was so when it was opened
  if (!silent) return;
  silent = false;
  notice.replaceChildren();
  document.dispatchEvent(new Event("answers"));
}

function missed(surely) {
  if (!silent) {
    silent = true;
    notice.replaceChildren(paragraph("banner", notice.dataset.text.replace("{time}", clock(seen))));
  }
  if (!leaving || !surely) return;
  window.stop(); // else the browser shows an error of its own in place of this page, and what was typed is gone
  if (leaving instanceof HTMLFormElement) say(leaving, notice.dataset.unsure);
  leaving = sent = null;
}

/** HH:MM of the PC's own clock, with the date before today. */
function clock(moment) {
  const how = moment.toDateString() === new Date().toDateString() ? {} : { year: "numeric", month: "2-digit", day: "2-digit" };
  return moment.toLocaleString(document.documentElement.lang, { ...how, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

function paragraph(kind, text) {
  const made = document.createElement("p");
  made.className = kind;
  made.textContent = text;
  return made;
}

/** Say *text* at the end of *form*; of one in the frame of the page, in the notice. */
function say(form, text) {
  const place = form.closest(".top") ? notice : form;
  place.querySelector(".unanswered")?.remove();
  if (!text) return;
  const told = paragraph("error unanswered", text);
  told.setAttribute("role", "alert");
  place.append(told);
}

// A form is sent once the box has answered: until then nothing leaves the page, and what was typed stays in it.
document.addEventListener("submit", async event => {
  const form = event.target, button = event.submitter;
  if (event.defaultPrevented || !form.requestSubmit) return;
  if (form === sent) {
    leaving = form;
    return;
  }
  event.preventDefault();
  if (asking) return;
  asking = true;
  say(form, "");
  const well = await answers();
  asking = false;
  if (well) {
    sent = form;
    form.requestSubmit(button);
  } else {
    say(form, notice.dataset.unsent);
  }
});
document.addEventListener("click", event => {
  const link = event.target.closest("a[href]");
  if (link && !event.defaultPrevented && !event.ctrlKey && !event.metaKey && !event.shiftKey) leaving = link;
});
document.addEventListener("visibilitychange", () => document.hidden || answers());
setTimeout(async function watch() {
  const well = document.hidden || await answers();
  setTimeout(watch, well ? PAUSE_MS : SILENT_PAUSE_MS);
}, PAUSE_MS);
