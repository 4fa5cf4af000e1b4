// A film on a canvas: window and level over every grey there is, zoom, pan, inversion, a heat map laid over it.
// Greys stay sixteen bits; a look-up table makes them eight at the moment of drawing, on the smallest level of detail
// that the screen can show, so that an old PC follows the mouse.

import { canDecode, decodePng } from "./png.js";

const HEAT = [[255, 221, 0], [255, 0, 0]]; // weak evidence is faint yellow, strong evidence red; the film shows through
const LAYER = [[120, 220, 255], [120, 220, 255]];
const MOST_ZOOM = 12;

/** Fetch one frame: pixels at full depth, halved copies of them, and the window it should open with. */
export async function loadFrame(url) {
  const [facts, buffer] = await Promise.all([
    fetch(url.replace(/\.png$/, ".json")).then(answered).then(answer => answer.json()),
    fetch(url).then(answered).then(answer => answer.arrayBuffer()),
  ]);
  const image = canDecode ? await decodePng(buffer) : await eightBits(buffer, facts.colour);
  const levels = [{ width: image.width, height: image.height, data: image.data }];
  while (Math.max(levels[0].width, levels[0].height) > 700) levels.unshift(halved(levels[0], image.channels));
  const top = image.depth === 16 ? 65535 : 255;
  return { facts, levels, channels: image.channels, top, reduced: !canDecode, ...opening(facts, image, top) };
}

/** Fetch the light picture of a frame, which comes first: the greys that its 256 steps stand for. */
export async function loadScreen(url) {
  const [facts, blob] = await Promise.all([
    fetch(url.replace(/\.png$/, ".json")).then(answered).then(answer => answer.json()),
    fetch(url.replace(/\.png$/, "/screen.jpg")).then(answered).then(answer => answer.blob()),
  ]);
  const bitmap = await createImageBitmap(blob), { width, height } = bitmap, canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data, count = width * height, channels = facts.colour ? 3 : 1;
  const data = facts.colour ? new Uint8Array(3 * count) : new Uint16Array(count);
  const window = { centre: facts.screen.centre ?? 127.5, width: facts.screen.width ?? 255 }, low = window.centre - window.width / 2;
  for (let i = 0; i < count; i++) {
    if (facts.colour) for (let c = 0; c < 3; c++) data[3 * i + c] = rgba[4 * i + c];
    else data[i] = Math.min(65535, Math.max(0, low + rgba[4 * i] / 255 * window.width));
  }
  return { facts, levels: [{ width, height, data }], channels, top: facts.colour ? 255 : 65535, light: true, ...window };
}

/** Fetch a heat map as a small canvas whose opacity is the evidence. */
export const loadHeat = url => loadMap(url, HEAT);

/** Fetch what the machine draws over the film, as a canvas that is empty elsewhere. */
export const loadLayer = url => loadMap(url, LAYER);

async function loadMap(url, [faint, strong]) {
  const buffer = await fetch(url).then(answered).then(answer => answer.arrayBuffer());
  const map = canDecode ? await decodePng(buffer) : await eightBits(buffer, false);
  const canvas = document.createElement("canvas");
  canvas.width = map.width;
  canvas.height = map.height;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(map.width, map.height);
  const scale = map.depth === 16 ? 257 : 1;
  for (let i = 0; i < map.width * map.height; i++) {
    const strength = map.data[i] / scale / 255;
    for (let c = 0; c < 3; c++) picture.data[4 * i + c] = faint[c] + (strong[c] - faint[c]) * strength;
    picture.data[4 * i + 3] = 255 * strength;
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

function answered(answer) {
  if (!answer.ok) throw new Error(String(answer.status));
  return answer;
}

/** What an old browser can do: its own decoder, eight bits a grey. */
async function eightBits(buffer, colour) {
  const bitmap = await createImageBitmap(new Blob([buffer], { type: "image/png" }));
  const canvas = document.createElement("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, bitmap.width, bitmap.height).data;
  const count = bitmap.width * bitmap.height;
  const data = colour ? new Uint8Array(3 * count) : new Uint16Array(count);
  for (let i = 0; i < count; i++) {
    if (colour) for (let c = 0; c < 3; c++) data[3 * i + c] = rgba[4 * i + c];
    else data[i] = rgba[4 * i] * 257;
  }
  return { width: bitmap.width, height: bitmap.height, channels: colour ? 3 : 1, depth: colour ? 8 : 16, data };
}

/** Every two by two pixels averaged. */
function halved({ width, height, data }, channels) {
  const w = width >> 1, h = height >> 1, out = new data.constructor(w * h * channels);
  for (let y = 0, to = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      for (let c = 0; c < channels; c++) {
        const at = (2 * y * width + 2 * x) * channels + c, below = at + width * channels;
        out[to++] = (data[at] + data[at + channels] + data[below] + data[below + channels] + 2) >> 2;
      }
    }
  }
  return { width: w, height: h, data: out };
}

/** The window a film opens with: its own, or else all the greys it has. */
function opening(facts, image, top) {
  if (facts.window && facts.window.width > 0) return { centre: facts.window.centre, width: facts.window.width };
  if (image.channels === 3) return { centre: top / 2, width: top };
  let low = top, high = 0;
  for (const grey of image.data) {
    if (grey < low) low = grey;
    if (grey > high) high = grey;
  }
  return { centre: (low + high) / 2, width: Math.max(1, high - low) };
}

export class Film {
  /** @param {HTMLCanvasElement} canvas @param {(film: Film) => void} changed called after each drawing */
  constructor(canvas, changed = () => {}) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.changed = changed;
    this.frame = this.heat = this.laid = this.scale = null;
    this.share = 0;
    this.layers = [];
    this.layered = true;
    this.inverted = false;
    this.view = { zoom: 1, x: 0, y: 0 };
    this.painted = document.createElement("canvas");
    this.stale = true;
    this.due = false;
  }

  /** Show *frame*; the window, zoom and place stay as they are unless *afresh*. */
  show(frame, afresh) {
    const before = this.scale, now = frame.facts || {};
    this.frame = frame;
    this.scale = now;
    this.stale = true;
    if (afresh) this.reset();
    else if (before && before.slope && (before.slope !== now.slope || before.intercept !== now.intercept)) {
      // The slices of a series stretch their greys each in its own way: the window stays in values of the machine.
      this.centre = (this.centre * before.slope + before.intercept - now.intercept) / now.slope;
      this.width *= Math.abs(before.slope / now.slope);
    }
    this.draw();
  }

  /** Show nothing. */
  clear() {
    this.frame = this.heat = this.laid = null;
    this.layers = [];
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  reset() {
    this.centre = this.frame.centre;
    this.width = this.frame.width;
    this.inverted = false;
    this.view = { zoom: 1, x: 0, y: 0 };
    this.stale = true;
    this.draw();
  }

  /** One of the windows that the machine offers. */
  choose({ centre, width }) {
    Object.assign(this, { centre, width, stale: true });
    this.draw();
  }

  /** Move the window by shares of the greys the film opened with. */
  window(widthShare, centreShare) {
    if (!this.frame) return;
    this.width = Math.min(2 * this.frame.top, Math.max(1, this.width + widthShare * this.frame.width));
    this.centre = Math.min(this.frame.top, Math.max(0, this.centre + centreShare * this.frame.width));
    this.stale = true;
    this.draw();
  }

  invert() {
    this.inverted = !this.inverted;
    this.stale = true;
    this.draw();
  }

  /** Zoom by *factor* so that the canvas point (x, y) stays where it is; without a point, about the middle. */
  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const zoom = Math.min(MOST_ZOOM, Math.max(0.5, this.view.zoom * factor)), by = zoom / this.view.zoom;
    const dx = x - this.canvas.clientWidth / 2, dy = y - this.canvas.clientHeight / 2;
    this.view = { zoom, x: dx - (dx - this.view.x) * by, y: dy - (dy - this.view.y) * by };
    this.draw();
  }

  move(dx, dy) {
    this.view.x += dx;
    this.view.y += dy;
    this.draw();
  }

  /** A window, which is in greys of the frame, in the film's own values: [centre, width]. */
  inValues(centre, width) {
    const { slope, intercept } = this.frame.facts;
    return [Math.round(centre * slope + intercept), Math.round(width * Math.abs(slope))];
  }

  /** Draw before the next screen, once however often it is asked for. */
  draw() {
    if (this.due || !this.frame) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      if (this.frame) this.drawNow();
    });
  }

  drawNow() {
    const ratio = window.devicePixelRatio || 1;
    const wide = Math.max(1, Math.round(this.canvas.clientWidth * ratio)), high = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    if (this.canvas.width !== wide || this.canvas.height !== high) Object.assign(this.canvas, { width: wide, height: high });
    const whole = this.frame.levels[this.frame.levels.length - 1];
    const scale = Math.min(wide / whole.width, high / whole.height) * this.view.zoom;
    this.paint(this.frame.levels.find(level => level.width >= whole.width * scale) || whole);
    const w = whole.width * scale, h = whole.height * scale;
    const x = (wide - w) / 2 + this.view.x * ratio, y = (high - h) / 2 + this.view.y * ratio;
    const context = this.context;
    context.globalAlpha = 1;
    context.fillStyle = "#0b0f11";
    context.fillRect(0, 0, wide, high);
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.painted, x, y, w, h);
    if (this.heat && this.share > 0) {
      context.globalAlpha = this.share;
      context.drawImage(this.heat, x, y, w, h);
    }
    context.globalAlpha = 1;
    if (this.layered) for (const layer of this.layers) context.drawImage(layer, x, y, w, h);
    const { columns = whole.width, rows = whole.height } = this.frame.facts || {};
    this.laid = { x, y, across: w / columns, down: h / rows, ratio };
    this.changed(this);
  }

  /** The point of the original frame, in its pixels, that lies under a point of the canvas in CSS pixels. */
  pixelAt(x, y) {
    const { ratio, across, down } = this.laid, { columns, rows } = this.frame.facts;
    const inside = (place, size) => Math.min(size - 1e-3, Math.max(0, place));
    return { x: inside((x * ratio - this.laid.x) / across, columns), y: inside((y * ratio - this.laid.y) / down, rows) };
  }

  /** Where a point of the original frame lies on the canvas, in its own pixels. */
  placeOf({ x, y }) {
    return { x: this.laid.x + x * this.laid.across, y: this.laid.y + y * this.laid.down };
  }

  /** Greys of one level through the window (PS3.3 C.11.2.1.2) into `painted`. */
  paint(level) {
    if (!this.stale && this.level === level) return;
    this.stale = false;
    this.level = level;
    Object.assign(this.painted, { width: level.width, height: level.height });
    const context = this.painted.getContext("2d");
    const picture = context.createImageData(level.width, level.height);
    const out = new Uint32Array(picture.data.buffer), low = this.centre - this.width / 2;
    const table = new Uint8ClampedArray(this.frame.top + 1);
    for (let grey = 0; grey < table.length; grey++) table[grey] = 255 * (grey - low) / this.width;
    if (this.inverted) for (let grey = 0; grey < table.length; grey++) table[grey] = 255 - table[grey];
    const data = level.data;
    if (this.frame.channels === 3) {
      for (let i = 0, at = 0; i < out.length; i++, at += 3) out[i] = 0xff000000 | table[data[at + 2]] << 16 | table[data[at + 1]] << 8 | table[data[at]];
    } else {
      for (let i = 0; i < out.length; i++) out[i] = 0xff000000 | table[data[i]] * 0x010101;
    }
    context.putImageData(picture, 0, 0);
  }
}
