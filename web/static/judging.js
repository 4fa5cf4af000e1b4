// The doctor's word on each finding, kept without leaving the page or taken along to the next patient; and a look
// whether another image or reading has come.

import { ask } from "./answers.js";

const $ = id => document.getElementById(id);
const page = $("case").dataset, finish = $("finish"), onward = $("onward"), ONWARD = "lantern.onward";
const FIELDS = "form:not(#finish) :is(input, textarea)";
let chosen = false;
document.addEventListener("input", event => chosen ||= Boolean(event.target.closest("form:not(#finish) select:not(.of-image)")));

/** Whether the page holds anything that was typed or chosen and is not kept: leaving would lose it. */
const typed = () => chosen || Boolean(document.querySelector("[name=drawing]")?.value) || [...document.querySelectorAll(FIELDS)].some(field => field.value !== field.defaultValue || field.checked !== field.defaultChecked);

// Whether the last word leads on is the doctor's choice, and is kept on this PC.
if (onward) {
  onward.checked = localStorage.getItem(ONWARD) !== "0";
  $("onward-tool").hidden = page.done || !$("finish").querySelector("[name=seen]");
  onward.addEventListener("change", () => localStorage.setItem(ONWARD, onward.checked ? "1" : "0"));
}

/** Findings that nobody has said a word on. */
const unjudged = () => [...document.querySelectorAll(".judge")].filter(form => !form.querySelector(".told span:not(.earlier)"));

/** With *word* on the last finding the case is done; not where anything is typed that leaving would lose. */
function leads(form, word) {
  if (!word || !onward?.checked || $("onward-tool").hidden || typed()) return false;
  return unjudged().every(other => other === form) && unjudged().length === 1;
}

document.querySelectorAll(".judge, .judge-image").forEach(form => form.addEventListener("submit", async event => {
  event.preventDefault();
  const word = event.submitter?.value || "", said = form.querySelector(".saved");
  if (form.matches(".judge") && leads(form, word)) {
    document.querySelectorAll(".asked").forEach(question => question.disabled = true);
    const field = Object.assign(document.createElement("input"), { type: "hidden", name: `said-${form.elements.finding.value}`, value: word });
    finish.append(field);
    finish.requestSubmit();
    return;
  }
  const body = new URLSearchParams(new FormData(form, event.submitter));
  let answer = null;
  said.textContent = "";
  try {
    answer = await ask(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    const told = answer.ok || answer.status === 409 ? await answer.json() : null;
    if (!told) throw new Error(String(answer.status));
    if (told.again) return location.assign(told.again);
    if (page.done && !told.done) return location.reload();
    put(form.closest(".finding").querySelector(".alone"), told.alone);
    document.dispatchEvent(new CustomEvent("kept", { detail: { drawn: told.drawn, taken: Boolean(word) } }));
    said.textContent = said.dataset.saved;
    if (!form.matches(".judge")) return;
    form.querySelectorAll(".choices button").forEach(button => button.setAttribute("aria-pressed", String(button.value === told.verdict)));
    put(form.querySelector(".told"), told.said);
    form.querySelector(".back-step").hidden = !told.verdict;
    askNoMore(form.elements.finding.value, Boolean(told.verdict));
  } catch {
    said.textContent = answer ? said.dataset.failed : said.dataset.unanswered;
  }
}));

/** Have *place* hold what the box has made of the words. */
function put(place, html) {
  place.replaceChildren(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
}

/** "Done" asks for no word on a finding that has one by now, and asks again when that is taken back. */
function askNoMore(finding, judged) {
  const question = document.querySelector(`.asked [name="said-${finding}"]`)?.closest("fieldset");
  if (!question) return;
  question.disabled = question.hidden = judged;
  $("ask").hidden = !document.querySelector(".asked:not([hidden])");
}

/** A verdict by its number: on the finding that was touched last, else the first without a word, else the first. */
export function say(number) {
  const forms = [...document.querySelectorAll(".judge")];
  const form = document.activeElement?.closest?.(".finding")?.querySelector(".judge") || unjudged()[0] || forms[0];
  form?.querySelectorAll(".choices button")[number]?.click();
}

/** On to the next patient: done with this one where that can be, else only away from it; not over what is typed. */
export function next() {
  if (typed()) return $("remark")?.focus();
  const done = finish?.querySelector("button.main");
  if (done) done.click();
  else location.assign(page.next);
}

// What doctors write often goes into the field with one press.
document.querySelectorAll(".phrases").forEach(phrases => {
  phrases.hidden = false;
  phrases.addEventListener("click", event => {
    const field = $("remark"), phrase = event.target.closest(".phrase")?.textContent;
    if (!phrase) return;
    field.value += (field.value && !/\s$/.test(field.value) ? "\n" : "") + phrase;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
  });
});

/** The page comes anew when there is another image or reading, but not over what is typed and not kept. */
async function look() {
  try {
    const now = await (await ask(page.state)).json();
    const came = now.seen !== page.seen || now.film !== Boolean(Number(page.film)) || now.advice !== page.advice;
    if (came && !typed()) return location.reload();
    $("came").hidden = now.seen === page.seen || (Number(page.waiting) && !now.seen.endsWith(".0"));
  } catch { /* it is asked again */ }
  setTimeout(look, Number(page.waiting) ? 1500 : 5000);
}
look();
