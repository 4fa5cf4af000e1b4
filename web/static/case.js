// The case page: its images, hands and keys on the film, and where the model looked.

import { Boxes } from "./boxes.js";
import { Film, loadFrame, loadHeat, loadLayer, loadScreen } from "./film.js";
import { next, say } from "./judging.js";
import { listen, showHelp, toggleDark, toggleFull } from "./keys.js";
import { Marker } from "./marker.js";
import { Player } from "./player.js";
import { follow, offerPriors } from "./priors.js";
import { Ruler } from "./ruler.js";

const $ = id => document.getElementById(id);
const canvas = $("film"), message = $("message"), windowText = $("window"), heatTool = $("heat-tool"), frameTool = $("frame-tool");
const images = [...document.querySelectorAll(".image")].map(({ dataset }) => ({ ...dataset, shown: JSON.parse(dataset.shown), lesions: JSON.parse(dataset.lesions), drawn: JSON.parse(dataset.drawn), maps: JSON.parse(dataset.maps || "{}"), slices: JSON.parse(dataset.slices || "null"), full: JSON.parse(dataset.full || "null") }));
const FRAMES_KEPT = 8, MOST_KEPT_BYTES = 200e6; // the second is a whole clip of 64 frames, so that it plays smoothly
const UNTOLD_HZ = 10;
let image = null, heat = null, code = "", lastShare = 0.5, frames = new Map(), asked = 0, hands = "window";
let offered = [], opened = false, rate = UNTOLD_HZ; // of the image: whether any of its frames has been shown, and how quickly it plays

const film = new Film(canvas, shown => {
  const [centre, width] = shown.inValues(shown.centre, shown.width);
  windowText.textContent = inWords(centre, width);
  canvas.dataset.centre = centre;
  canvas.dataset.width = width;
  canvas.dataset.zoom = shown.view.zoom.toFixed(2);
  canvas.dataset.heat = shown.share.toFixed(2);
  canvas.dataset.shown = "1";
  if (shown.frame.light) canvas.dataset.firstMs ||= performance.now();
  else canvas.dataset.fullMs ||= performance.now();
  ruler.draw();
  marker.draw();
  boxes.place();
  follow(shown);
});
const ruler = new Ruler(film, $("length")), marker = new Marker(film, $("not-kept"), shownFrame), boxes = new Boxes(film, $("boxes"), $("marks"));
const pens = { measure: ruler, "mark-box": marker, "mark-outline": marker };
const player = new Player(place => {
  $("frame").value = place;
  return showFrame(place, false);
}, playing => {
  $("play").textContent = $("play").dataset[playing ? "stop" : "play"]; // the word alone: a pressed "Pause" would say both
});

function tell(text, low = false) {
  message.textContent = text;
  message.classList.toggle("low", low);
}

function inWords(centre, width) {
  return windowText.dataset.text.replace("{centre}", centre).replace("{width}", width);
}

// --- frames ---

/** Where a frame of an image lies; a slice of a series is an image of its own. */
function folderOf({ frame, slices }, number) {
  return slices ? frame.replace(/[^/]+\/0\.png$/, `${slices[number]}/0`) : frame.replace("/0.png", `/${number}`);
}

/** The image and the frame of it that are shown; a slice is an image of its own. */
function shownFrame() {
  const number = image.shown[Number($("frame").value)];
  return image.slices ? { instance: image.slices[number], frame: 0 } : { instance: image.instance, frame: number };
}

/** The places that lie over the frame: the model's, and those that doctors drew. */
function showMarks(number) {
  const marked = [...image.lesions, ...image.drawn].filter(lesion => lesion.frame === number);
  boxes.show(marked);
  $("boxes-tool").hidden = !marked.length;
}

/** Fetch the slices around *number*, one after the other, until another image is looked at. */
async function fetchAhead(number) {
  const of = image;
  for (let away = 1; away < of.of && of === image; away++) {
    for (const near of [number + away, number - away]) if (of === image && of.slices[near]) await frameOf(near).catch(() => null);
  }
}

async function frameOf(number) {
  const url = `${folderOf(image, number)}.png`;
  if (!frames.has(url)) {
    const kept = frames, light = image.full && !image.full.includes(number), coming = light ? loadScreen(url) : loadFrame(url);
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

/** Say whether the heat map lies over the film: never is it off, or missing, without a word. */
function tellHeat() {
  const says = $("heat-says"), on = film.heat && film.share > 0, text = !film.frame ? "" : !film.heat ? says.dataset.none : on ? says.dataset.on : says.dataset.off;
  says.hidden = !text;
  says.textContent = text.replace("{finding}", image?.maps[code] || "");
  heatTool.hidden = !film.frame || !film.heat;
  document.querySelectorAll(".heat-switch").forEach(button => {
    button.hidden = !film.heat && !images.some(one => one.maps[button.dataset.code]);
    button.setAttribute("aria-pressed", String(Boolean(on) && (button.dataset.code || code) === code));
  });
}

/** Lay the heat map over the film, or take it away. */
function switchHeat() {
  setShare(film.share > 0 ? 0 : lastShare);
}

function setShare(share) {
  film.share = share;
  if (share) lastShare = share;
  $("heat").value = 100 * share;
  tellHeat();
  film.draw();
}

/** Where a heat map is strongest, as one of the ninths of the picture. */
function strongest(map) {
  const { width, height } = map, data = map.getContext("2d").getImageData(0, 0, width, height).data;
  let best = 3;
  for (let at = 3; at < data.length; at += 4) if (data[at] > data[best]) best = at;
  const pixel = (best - 3) / 4, ninth = (place, size) => Math.min(2, Math.floor(3 * (place + 0.5) / size));
  return 3 * ninth(Math.floor(pixel / width), height) + ninth(pixel % width, width);
}

/** Fetch the heat map of the finding *wanted* in the image that is shown. */
async function fetchHeat(wanted) {
  const of = image;
  code = wanted;
  film.heat = heat = null;
  tellHeat();
  if (!of.heat) return;
  try {
    const loaded = await loadHeat(of.heat.replace(/[^/]+$/, `${wanted}.png`));
    if (of !== image || code !== wanted) return;
    heat = loaded;
    film.heat = heatFits(image.shown[Number($("frame").value)]) ? heat : null;
    const place = document.querySelector(`.strongest[data-code="${code}"]`);
    if (place) place.textContent = place.dataset.text.replace("{place}", JSON.parse($("heat-says").dataset.places)[strongest(heat)]);
    film.draw();
  } catch { /* a reading without a heat map */ }
  tellHeat();
}

/** Show the frame at *place* among those that were kept. */
async function showFrame(place, afresh) {
  const mine = ++asked, number = image.shown[place];
  if (afresh && !opened) tell(message.dataset.loading);
  try {
    const frame = await frameOf(number);
    if (mine !== asked) return;
    tell(frame.reduced ? message.dataset.eight : "", true);
    canvas.parentElement.style.setProperty("--aspect", frame.facts.shown_columns / frame.facts.shown_rows);
    film.heat = heatFits(number) ? heat : null;
    film.layers = [];
    if (!film.frame?.light || image.full) ruler.clear(); // a line belongs to the frame on which it was drawn
    canvas.dataset.number = number;
    film.show(frame, !opened); // behind a missing frame the doctor's own window and zoom go on
    opened = true;
    tellHeat();
    showMarks(number);
    offer(frame.facts);
    overlay(`${folderOf(image, number)}/`, frame.facts.layers || [], () => mine === asked);
  } catch {
    if (mine === asked) showNothing();
  }
  if (image.shown.length > 1) $("frame-text").textContent = $("frame-text").dataset[image.slices ? "slice" : "text"].replace("{frame}", number + 1).replace("{frames}", image.of);
}

/** There is no picture: the one before is of another frame or image, and nothing may be measured on it or played on. */
function showNothing() {
  player.stop();
  film.clear();
  ruler.clear();
  boxes.show([]);
  delete canvas.dataset.shown;
  windowText.textContent = "";
  $("layers").hidden = $("boxes-tool").hidden = true;
  tellHeat();
  offer({});
  tell(image.unread ? message.dataset.unread : image.shown.length > 1 ? message.dataset.frame : message.dataset.missing);
}

/** The windows that the machine offers beside the first, and what it says of sizes. */
function offer({ windows = [], spacing, rate_hz: told, unit, slope, intercept }) {
  const presets = unit === "HU" ? JSON.parse($("windows").dataset.presets) : [];
  offered = [...windows, ...presets.map(([name, centre, width]) => ({ name, centre: (centre - intercept) / slope, width: width / Math.abs(slope) }))];
  windows = offered;
  const list = $("windows"), names = windows.map(({ name, centre, width }) => name || inWords(...film.inValues(centre, width)));
  if (names.join() !== [...list.options].map(option => option.text).join()) list.replaceChildren(...names.map((name, index) => new Option(name, index)));
  list.parentElement.hidden = windows.length < 2;
  $("size").textContent = JSON.parse($("size").dataset.says)[spacing?.label] || "";
  if (!film.frame) return; // a missing frame says nothing of how quickly the others play
  rate = told || UNTOLD_HZ;
  const { untold, slowed, told: words } = $("rate").dataset;
  $("rate").textContent = image.slices ? "" : told ? (Player.slows(image.shown, told) ? slowed : words).replace("{rate}", Math.round(10 * told) / 10) : untold;
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

/** Show an image, with the heat map of the finding *wanted* or of its strongest. */
async function showImage(number, wanted = images[number].code) {
  if (image && image !== images[number]) marker.clear(); // a place on one image is none on the next
  image = images[number];
  frames = new Map();
  opened = false;
  rate = UNTOLD_HZ;
  $("rate").textContent = "";
  $("left").textContent = image.left || "";
  asked++; // whatever is still coming is of another image
  player.stop();
  ruler.clear();
  film.heat = heat = null;
  code = wanted;
  frameTool.hidden = image.shown.length < 2;
  $("frame").max = Math.max(0, image.shown.length - 1);
  $("frame").value = Math.max(0, image.shown.indexOf(Number(image.opens)));
  document.querySelectorAll(".of-image").forEach(choice => [...choice.options].forEach(option => option.selected ||= option.value === image.instance));
  document.querySelectorAll("[data-at]").forEach((button, index) => button.setAttribute("aria-pressed", String(index === number)));
  if (!image.shown.length) {
    showNothing();
    return;
  }
  const of = image;
  if (of.screen) await showFirst();
  if (of === image) await Promise.all([showFrame(Number($("frame").value), true), of.heat && fetchHeat(code)]);
  if (of === image && of.slices) fetchAhead(Number($("frame").value));
}

/** Show the light picture of a film until the film itself is there; on a slow line that takes seconds. */
async function showFirst() {
  const mine = asked;
  try {
    tell(message.dataset.loading);
    const frame = await loadScreen(image.frame);
    if (mine !== asked) return;
    canvas.parentElement.style.setProperty("--aspect", frame.facts.shown_columns / frame.facts.shown_rows);
    film.layers = [];
    film.show(frame, true);
    opened = true;
    showMarks(0);
    offer(frame.facts);
    tell(message.dataset.first, true);
    tellHeat();
  } catch { /* then the film itself is shown, or said to be missing */ }
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
  for (const finger of others) pens[finger.does]?.back();
  for (const finger of others) finger.does = rests(finger.does);
  const finger = { x: event.offsetX, y: event.offsetY, does: others.length ? rests(does) : does };
  fingers.set(event.pointerId, finger);
  if (pens[finger.does] && film.laid) {
    player.stop();
    pens[finger.does].start(finger.x, finger.y, finger.does);
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
  } else if (pens[before.does]) {
    pens[before.does].end(now.x, now.y);
  } else if (before.does === "move") {
    film.move(now.x - before.x, now.y - before.y);
  } else if (before.does === "window") {
    film.window((now.x - before.x) / 300, (before.y - now.y) / -300);
  }
});
for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, event => fingers.delete(event.pointerId));
canvas.addEventListener("contextmenu", event => event.preventDefault());
/** The next or the last frame or slice. */
function step(by) {
  const place = Math.min(Number($("frame").max), Math.max(0, Number($("frame").value) + by));
  if (place === Number($("frame").value)) return;
  player.stop();
  $("frame").value = place;
  showFrame(place, false);
}

canvas.addEventListener("wheel", event => {
  event.preventDefault();
  if (image?.slices && !event.ctrlKey && !event.shiftKey) return step(Math.sign(event.deltaY));
  film.zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event.offsetX, event.offsetY);
}, { passive: false });
canvas.addEventListener("dblclick", () => film.frame && film.reset());
const FILM_KEYS = {
  ArrowLeft: () => film.window(-0.05, 0), ArrowRight: () => film.window(0.05, 0), ArrowUp: () => film.window(0, -0.03),
  ArrowDown: () => film.window(0, 0.03), "+": () => film.zoom(1.25), "=": () => film.zoom(1.25), "-": () => film.zoom(0.8), PageDown: () => step(1), PageUp: () => step(-1),
};
canvas.addEventListener("keydown", event => {
  const act = FILM_KEYS[event.key];
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
  marker.clear();
  $("windows").value = "0";
  $("invert").setAttribute("aria-pressed", "false");
});
const HANDS = ["move", ...Object.keys(pens)];
for (const tool of HANDS) $(tool).addEventListener("click", () => {
  hands = hands === tool ? "window" : tool;
  for (const each of HANDS) $(each).setAttribute("aria-pressed", String(hands === each));
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
$("windows").addEventListener("change", event => film.choose(offered[event.target.value]));
$("heat").addEventListener("input", event => setShare(Number(event.target.value) / 100));
document.querySelectorAll(".heat-switch").forEach(button => button.addEventListener("click", async () => {
  const wanted = button.dataset.code || code;
  if (wanted === code) return switchHeat();
  const number = image.maps[wanted] ? images.indexOf(image) : images.findIndex(one => one.maps[wanted]);
  if (images[number] === image) await fetchHeat(wanted);
  else await showImage(number, wanted);
  setShare(lastShare);
}));
document.querySelectorAll(".show-image").forEach(button => button.addEventListener("click", () => {
  const number = Number(button.dataset.image), finding = button.closest(".finding").dataset.finding;
  showImage(number, images[number].maps[finding] ? finding : images[number].code);
}));
$("frame").addEventListener("input", event => {
  player.stop();
  showFrame(Number(event.target.value), false);
});
$("play").addEventListener("click", () => {
  if (player.playing) player.stop();
  else player.start(image.shown, rate, Number($("frame").value)); // from behind a missing frame too
});
document.addEventListener("visibilitychange", () => document.hidden && player.stop());
document.querySelectorAll("[data-at]").forEach((button, index) => button.addEventListener("click", () => showImage(index)));
offerPriors(film);
new ResizeObserver(() => film.draw()).observe(canvas);

// --- keys ---

const KEYS = {
  1: () => say(0), 2: () => say(1), 3: () => say(2), n: next, h: () => $("heat-tool").hidden || switchHeat(), d: toggleDark, f: toggleFull,
  i: () => $("invert").click(), "?": showHelp, " ": () => frameTool.hidden || $("play").click(),
};
listen(KEYS);

document.addEventListener("kept", ({ detail: { drawn, taken } }) => {
  drawn.forEach((places, index) => images[index].drawn = places);
  if (taken) marker.clear();
  if (film.frame) showMarks(image.shown[Number($("frame").value)]);
});
document.addEventListener("answers", () => image && !film.frame && showImage(images.indexOf(image)));
if (images.length) showImage(0);
else tell(message.dataset.missing);
