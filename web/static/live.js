// The examination of this moment: asks for the newest frame, again and again, and draws it with what is marked in it.

import { ask } from "./answers.js";

const $ = id => document.getElementById(id);
const live = $("live"), canvas = $("frame"), form = $("keep"), button = form.querySelector("button");
const words = live.dataset, paper = canvas.getContext("2d");
const OLD_MS = 1000, PAUSE_MS = 60, RETRY_MS = 1500; // marks older than the first are taken away
const EDGE = "#ffd84d", WEAK = [255, 221, 0], STRONG = [255, 0, 0], STRONGEST = 0.55; // as in overlay.py
let after = 0, sequence = -1, newest = null, drawnAt = 0, old = false, answered = "[]";
let trouble = ""; // what was told since the newest frame: that the source is lost, say

/** Three lengths (32 bits, little-endian), JSON, a JPEG and a PNG: `store.disk.live.Newest`. */
function parted(buffer) {
  const view = new DataView(buffer), lengths = [0, 4, 8].map(at => view.getUint32(at, true));
  let at = 12;
  const [text, jpeg, heat] = lengths.map(length => new Uint8Array(buffer, (at += length) - length, length));
  return { told: JSON.parse(new TextDecoder().decode(text)), jpeg, heat };
}

async function picture(bytes, type) {
  return bytes.length ? createImageBitmap(new Blob([bytes], { type })) : null;
}

function tinted(map) {
  const made = new OffscreenCanvas(map.width, map.height), ink = made.getContext("2d");
  ink.drawImage(map, 0, 0);
  const image = ink.getImageData(0, 0, map.width, map.height), { data } = image;
  for (let at = 0; at < data.length; at += 4) {
    const strength = data[at] / 255;
    for (let channel = 0; channel < 3; channel++) data[at + channel] = WEAK[channel] * (1 - strength) + STRONG[channel] * strength;
    data[at + 3] = 255 * strength * STRONGEST;
  }
  ink.putImageData(image, 0, 0);
  return made;
}

function draw(marks) {
  if (!newest?.film) return;
  const { film, heat, told } = newest;
  if (canvas.width !== film.width || canvas.height !== film.height) [canvas.width, canvas.height] = [film.width, film.height];
  paper.drawImage(film, 0, 0);
  if (!marks) return;
  if (heat) paper.drawImage(tinted(heat), 0, 0, film.width, film.height);
  const across = film.width / told.columns, down = film.height / told.rows;
  paper.strokeStyle = EDGE;
  paper.lineWidth = Math.max(1, film.width / 320);
  for (const { outline, box: [x0, y0, x1, y1] } of told.lesions) {
    paper.beginPath();
    if (outline.length) outline.forEach(([x, y], place) => paper[place ? "lineTo" : "moveTo"](x * across, y * down));
    else paper.rect(x0 * across, y0 * down, (x1 - x0) * across, (y1 - y0) * down);
    paper.closePath();
    paper.stroke();
  }
}

function item(kind, text) {
  const made = document.createElement(kind);
  made.textContent = text;
  return made;
}

function figures(told) {
  $("rate").textContent = told.frames_per_second.toFixed(0);
  $("read").textContent = told.read;
  $("dropped").textContent = told.dropped;
  if (told.delay_ms !== undefined) $("delay").textContent = (told.delay_ms + told.age_ms).toFixed(0);
}

function say(told) {
  $("said").textContent = told.reason ?? "";
  $("findings").replaceChildren(...(told.findings ?? []).map(({ label, probability, threshold, positive }) => {
    const made = item("li", `${label}: ${positive ? words.found : words.clear}, ${probability.toFixed(2)} (${words.limit.replace("{threshold}", threshold.toFixed(2))})`);
    made.className = positive ? "positive" : "";
    return made;
  }));
  $("marked").textContent = told.lesions?.length ? words.marked.replace("{count}", told.lesions.length) : "";
  $("hints").replaceChildren(...(told.hints ?? []).map(text => item("p", text)));
  const { pack } = told;
  $("pack").textContent = pack ? `${pack.name} ${pack.version}, ${pack.runtime} ${pack.precision}` : "";
}

function answer(kept) {
  const said = JSON.stringify(kept);
  if (said === answered) return; // a link that is made anew with each frame cannot be clicked
  answered = said;
  $("kept").replaceChildren(...kept.map(({ sequence: number, case: address, reason }) => {
    const made = item("li", reason ?? `${words.kept.replace("{sequence}", number)} `);
    if (address) made.append(Object.assign(item("a", words.case), { href: address }));
    return made;
  }));
}

async function show(buffer) {
  const { told, jpeg, heat } = parted(buffer);
  if (told.event === "absent") {
    $("said").textContent = trouble = words.absent;
    return RETRY_MS;
  }
  after = told.told_at;
  figures(told);
  answer(told.kept ?? []);
  if (told.event !== "frame") {
    trouble = told.reason ?? "";
    if (trouble) $("said").textContent = trouble;
    return 0;
  }
  newest = { told, film: await picture(jpeg, "image/jpeg"), heat: await picture(heat, "image/png") };
  sequence = told.sequence;
  [drawnAt, old, trouble] = [performance.now(), false, ""];
  draw(!told.reason);
  say(told);
  button.disabled = false;
  canvas.dataset.sequence = sequence;
  canvas.dataset.lesions = told.lesions.length;
  return 0;
}

/** A mark must not stand over a picture that has moved on. */
function look() {
  if (!drawnAt || performance.now() - drawnAt < OLD_MS) return;
  if (!old) draw(false);
  old = true;
  canvas.dataset.old = "1";
  $("findings").replaceChildren();
  $("marked").textContent = "";
  $("said").textContent = trouble || words.old.replace("{seconds}", ((performance.now() - drawnAt) / 1000).toFixed(0));
}

async function follow() {
  for (;;) {
    let pause = PAUSE_MS;
    try {
      if (document.hidden) pause = RETRY_MS;
      else {
        const got = await ask(`${words.newest}?after=${after}`, { cache: "no-store" });
        if (got.redirected || got.status === 401) return location.reload();
        if (got.status === 200) pause = await show(await got.arrayBuffer());
        if (!old) delete canvas.dataset.old;
      }
    } catch {
      pause = RETRY_MS; // the page itself says when the box does not answer
    }
    if (pause) await new Promise(done => setTimeout(done, pause));
  }
}

form.addEventListener("submit", async event => {
  event.preventDefault();
  if (sequence < 0) return;
  form.elements.sequence.value = sequence;
  button.disabled = true; // until the next frame
  await fetch(form.action, { method: "post", body: new URLSearchParams(new FormData(form)) }).catch(() => null);
});

$("said").textContent = words.waiting;
setInterval(look, 200);
follow();
