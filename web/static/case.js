// The case page: hands on the film, judgements kept without leaving, and a look whether another image or reading is there.

import { ask } from "./answers.js";
import { Boxes } from "./boxes.js";
import { Film, loadFrame, loadHeat, loadLayer } from "./film.js";
import { Player } from "./player.js";
import { Ruler } from "./ruler.js";

const $ = id => document.getElementById(id);
const canvas = $("film"), message = $("message"), windowText = $("window"), heatTool = $("heat-tool"), frameTool = $("frame-tool");
const images = [...document.querySelectorAll(".image")].map(({ dataset }) => ({ ...dataset, shown: JSON.parse(dataset.shown), lesions: JSON.parse(dataset.lesions) }));
const FRAMES_KEPT = 8, MOST_KEPT_BYTES = 200e6; // the second is a whole clip of 64 frames, so that it plays smoothly
const UNTOLD_HZ = 10;
let image = null, heat = null, frames = new Map(), asked = 0, hands = "window";
let opened = false, rate = UNTOLD_HZ; // of the image: whether any of its frames has been shown, and how quickly it plays

const film = new Film(canvas, shown => {
  const [centre, width] = shown.inValues(shown.centre, shown.width);
  windowText.textContent = inWords(centre, width);
  canvas.dataset.centre = centre;
  canvas.dataset.width = width;
  canvas.dataset.zoom = shown.view.zoom.toFixed(2);
  canvas.dataset.heat = shown.share.toFixed(2);
  canvas.dataset.shown = "1";
  ruler.draw();
  boxes.place();
});
const ruler = new Ruler(film, $("length")), boxes = new Boxes(film, $("boxes"));
const player = new Player(place => {
  $("frame").value = place;
  return showFrame(place, false);
}, playing => {
  $("play").textContent = $("play").dataset[playing ? "stop" : "play"]; // the word alone: a pressed "Pause" would say both
});

function say(text, low = false) {
  message.textContent = text;
  message.classList.toggle("low", low);
}

function inWords(centre, width) {
  return windowText.dataset.text.replace("{centre}", centre).replace("{width}", width);
}

// --- frames ---

async function frameOf(number) {
  const url = image.frame.replace("/0.png", `/${number}.png`);
  if (!frames.has(url)) {
    const kept = frames, coming = loadFrame(url);
    kept.set(url, coming);
    coming.catch(() => kept.delete(url)); // and is asked for again
    const bytes = film.frame ? film.frame.levels.reduce((sum, level) => sum + level.data.byteLength, 0) : Infinity;
    if (frames.size > Math.max(FRAMES_KEPT, MOST_KEPT_BYTES / bytes)) frames.delete(frames.keys().next().value);
  }
  return frames.get(url);
}

/** The heat map is of one frame of a clip and is laid over no other. */
function heatFits(number) {
  return image.heatFrame === undefined || Number(image.heatFrame) === number;
}

/** Show the frame at *place* among those that were kept. */
async function showFrame(place, afresh) {
  const mine = ++asked, number = image.shown[place];
  if (afresh) say(message.dataset.loading);
  try {
    const frame = await frameOf(number);
    if (mine !== asked) return;
    say(frame.reduced ? message.dataset.eight : "", true);
    canvas.parentElement.style.setProperty("--aspect", frame.facts.columns / frame.facts.rows);
    film.heat = heatFits(number) ? heat : null;
    heatTool.hidden = !film.heat;
    film.layers = [];
    film.show(frame, !opened); // behind a missing frame the doctor's own window and zoom go on
    opened = true;
    const marked = image.lesions.filter(lesion => lesion.frame === number);
    boxes.show(marked);
    $("boxes-tool").hidden = !marked.length;
    ruler.clear(); // a line belongs to the frame on which it was drawn
    offer(frame.facts);
    overlay(image.frame.replace("/0.png", `/${number}/`), frame.facts.layers || [], () => mine === asked);
  } catch {
    if (mine === asked) showNothing();
  }
  if (image.shown.length > 1) $("frame-text").textContent = $("frame-text").dataset.text.replace("{frame}", number + 1).replace("{frames}", image.of);
}

/** There is no picture: the one before is of another frame or image, and nothing may be measured on it or played on. */
function showNothing() {
  player.stop();
  film.clear();
  ruler.clear();
  boxes.show([]);
  delete canvas.dataset.shown;
  windowText.textContent = "";
  heatTool.hidden = $("layers").hidden = $("boxes-tool").hidden = true;
  offer({});
  say(image.unread ? message.dataset.unread : image.shown.length > 1 ? message.dataset.frame : message.dataset.missing);
}

/** The windows that the machine offers beside the first, and what it says of sizes. */
function offer({ windows = [], spacing, rate_hz: told }) {
  const list = $("windows"), names = windows.map(({ name, centre, width }) => name || inWords(...film.inValues(centre, width)));
  if (names.join() !== [...list.options].map(option => option.text).join()) list.replaceChildren(...names.map((name, index) => new Option(name, index)));
  list.parentElement.hidden = windows.length < 2;
  $("size").textContent = JSON.parse($("size").dataset.says)[spacing?.label] || "";
  if (!film.frame) return; // a missing frame says nothing of how quickly the others play
  rate = told || UNTOLD_HZ;
  const { untold, slowed, told: words } = $("rate").dataset;
  $("rate").textContent = told ? (Player.slows(image.shown, told) ? slowed : words).replace("{rate}", Math.round(10 * told) / 10) : untold;
}

/** What the machine draws over the film: there at first, and put aside with one button. */
async function overlay(folder, layers, wanted) {
  $("layers").hidden = !layers.length;
  const drawn = await Promise.all(layers.map(({ layer }) => loadLayer(`${folder}layer-${layer}.png`).catch(() => null)));
  if (!wanted()) return;
  film.layers = drawn.filter(Boolean);
  canvas.dataset.layers = film.layers.length;
  film.draw();
}

async function showImage(number) {
  image = images[number];
  frames = new Map();
  opened = false;
  rate = UNTOLD_HZ;
  $("rate").textContent = "";
  $("left").textContent = image.left || "";
  asked++; // whatever is still coming is of another image
  player.stop();
  film.heat = heat = null;
  heatTool.hidden = true;
  frameTool.hidden = image.shown.length < 2;
  $("frame").max = Math.max(0, image.shown.length - 1);
  $("frame").value = Math.max(0, image.shown.indexOf(Number(image.opens)));
  document.querySelectorAll(".picture").forEach((button, index) => button.setAttribute("aria-pressed", String(index === number)));
  if (!image.shown.length) {
    showNothing();
    return;
  }
  const of = image;
  await showFrame(Number($("frame").value), true);
  if (!of.heat) return;
  try {
    const loaded = await loadHeat(of.heat);
    if (of !== image) return;
    heat = loaded;
    film.heat = heatFits(image.shown[Number($("frame").value)]) ? heat : null;
    heatTool.hidden = !film.heat;
    film.draw();
  } catch { /* a reading without a heat map */ }
}

// --- hands ---

const fingers = new Map();

function spread() {
  const [a, b] = [...fingers.values()];
  return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, apart: Math.hypot(a.x - b.x, a.y - b.y) };
}

/** What one of two fingers does when the other is lifted: it moves on, or nothing; a pinch is no line and no window. */
const rests = does => does === "move" ? does : "";

canvas.addEventListener("pointerdown", event => {
  canvas.setPointerCapture(event.pointerId);
  const does = event.button > 0 || event.shiftKey ? "move" : hands, others = [...fingers.values()];
  if (others.some(finger => finger.does === "measure")) ruler.back();
  for (const finger of others) finger.does = rests(finger.does);
  const finger = { x: event.offsetX, y: event.offsetY, does: others.length ? rests(does) : does };
  fingers.set(event.pointerId, finger);
  if (finger.does === "measure" && film.laid) {
    player.stop();
    ruler.start(finger.x, finger.y);
  }
});
canvas.addEventListener("pointermove", event => {
  const before = fingers.get(event.pointerId);
  if (!before) return;
  const pinch = fingers.size === 2 ? spread() : null;
  const now = { ...before, x: event.offsetX, y: event.offsetY };
  fingers.set(event.pointerId, now);
  if (pinch) {
    const after = spread();
    film.zoom(after.apart / Math.max(1, pinch.apart), after.x, after.y);
    film.move(after.x - pinch.x, after.y - pinch.y);
  } else if (before.does === "measure") {
    ruler.end(now.x, now.y);
  } else if (before.does === "move") {
    film.move(now.x - before.x, now.y - before.y);
  } else if (before.does === "window") {
    film.window((now.x - before.x) / 300, (before.y - now.y) / -300);
  }
});
for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, event => fingers.delete(event.pointerId));
canvas.addEventListener("contextmenu", event => event.preventDefault());
canvas.addEventListener("wheel", event => {
  event.preventDefault();
  film.zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event.offsetX, event.offsetY);
}, { passive: false });
canvas.addEventListener("dblclick", () => film.frame && film.reset());
const KEYS = {
  ArrowLeft: () => film.window(-0.05, 0), ArrowRight: () => film.window(0.05, 0), ArrowUp: () => film.window(0, -0.03),
  ArrowDown: () => film.window(0, 0.03), "+": () => film.zoom(1.25), "=": () => film.zoom(1.25), "-": () => film.zoom(0.8), i: () => $("invert").click(),
};
canvas.addEventListener("keydown", event => {
  const act = KEYS[event.key];
  if (!act || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  act();
});

$("closer").addEventListener("click", () => film.zoom(1.4));
$("farther").addEventListener("click", () => film.zoom(1 / 1.4));
$("invert").addEventListener("click", () => {
  film.invert();
  $("invert").setAttribute("aria-pressed", String(film.inverted));
});
$("reset").addEventListener("click", () => {
  if (film.frame) film.reset();
  ruler.clear();
  $("windows").value = "0";
  $("invert").setAttribute("aria-pressed", "false");
});
for (const tool of ["move", "measure"]) $(tool).addEventListener("click", () => {
  hands = hands === tool ? "window" : tool;
  for (const each of ["move", "measure"]) $(each).setAttribute("aria-pressed", String(hands === each));
});
$("layers").addEventListener("click", () => {
  film.layered = !film.layered;
  $("layers").setAttribute("aria-pressed", String(film.layered));
  film.draw();
});
$("boxes-tool").addEventListener("click", () => {
  const shown = $("boxes").toggleAttribute("hidden") === false;
  $("boxes-tool").setAttribute("aria-pressed", String(shown));
});
$("windows").addEventListener("change", event => film.choose(film.frame.facts.windows[event.target.value]));
$("heat").addEventListener("input", event => {
  film.share = Number(event.target.value) / 100;
  film.draw();
});
$("frame").addEventListener("input", event => {
  player.stop();
  showFrame(Number(event.target.value), false);
});
$("play").addEventListener("click", () => {
  if (player.playing) player.stop();
  else player.start(image.shown, rate, Number($("frame").value)); // from behind a missing frame too
});
document.addEventListener("visibilitychange", () => document.hidden && player.stop());
document.querySelectorAll(".picture").forEach((button, index) => button.addEventListener("click", () => showImage(index)));
new ResizeObserver(() => film.draw()).observe(canvas);

// --- words ---

document.querySelectorAll(".judge").forEach(form => form.addEventListener("submit", async event => {
  event.preventDefault();
  const said = form.querySelector(".saved"), body = new URLSearchParams(new FormData(form, event.submitter));
  let answer = null;
  said.textContent = "";
  try {
    answer = await ask(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    const told = answer.ok || answer.status === 409 ? await answer.json() : null;
    if (!told) throw new Error(String(answer.status));
    if (told.again) return location.assign(told.again);
    if (page.done && !told.done) return location.reload();
    form.querySelectorAll(".choices button").forEach(button => button.setAttribute("aria-pressed", String(button.value === told.verdict)));
    form.querySelector(".told").replaceChildren(...new DOMParser().parseFromString(told.said, "text/html").body.childNodes);
    form.querySelector(".back-step").hidden = !told.verdict;
    said.textContent = said.dataset.saved;
    askNoMore(form.elements.finding.value, Boolean(told.verdict));
  } catch {
    said.textContent = answer ? said.dataset.failed : said.dataset.unanswered;
  }
}));

/** "Done" asks for no word on a finding that has one by now, and asks again when that is taken back. */
function askNoMore(finding, judged) {
  const question = document.querySelector(`.asked [name="said-${finding}"]`)?.closest("fieldset");
  if (!question) return;
  question.disabled = question.hidden = judged;
  $("ask").hidden = !document.querySelector(".asked:not([hidden])");
}

const page = $("case").dataset;
let typed = false;
document.addEventListener("input", event => typed ||= Boolean(event.target.closest("form")));

/** The page comes anew when there is another image or reading, but not over what is typed and not kept. */
async function look() {
  try {
    const now = await (await ask(page.state)).json();
    const came = now.seen !== page.seen || now.film !== Boolean(Number(page.film)) || now.advice !== page.advice;
    if (came && !typed) return location.reload();
    $("came").hidden = now.seen === page.seen || (Number(page.waiting) && !now.seen.endsWith(".0"));
  } catch { /* it is asked again */ }
  setTimeout(look, Number(page.waiting) ? 1500 : 5000);
}
look();

document.addEventListener("answers", () => image && !film.frame && showImage(images.indexOf(image)));
if (images.length) showImage(0);
else say(message.dataset.missing);
