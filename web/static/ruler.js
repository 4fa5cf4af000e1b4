// A line between two points of a film and how long it is: in millimetres only where something calibrated says so.

import { Drawing, RIM } from "./drawing.js";

const INK = "#ffd84d", ARM_PX = 6;
const area = region => (region.x1 - region.x0) * (region.y1 - region.y0);

/** The ultrasound region a point lies in; of several the one of high priority, then the smallest (PS3.3 C.8.5.5). */
function regionAt(regions, { x, y }) {
  const holding = regions.filter(region => region.x0 <= x && x < region.x1 && region.y0 <= y && y < region.y1);
  return holding.sort((a, b) => b.first - a.first || area(a) - area(b))[0];
}

/** The size [down, across] of a pixel, which need not be square, in its shorter side: lengths in pixels are those seen. */
const squared = aspect => [Math.max(aspect, 1), Math.max(1 / aspect, 1)];

/** How long a line is: in pixels, in millimetres of the patient where these are known, and in those the header names. */
export function measured({ regions = [], spacing = {}, aspect = 1 }, from, to) {
  const dx = to.x - from.x, dy = to.y - from.y;
  const region = regionAt(regions, from), same = region && region === regionAt(regions, to);
  const mm = same && region.mm_x && region.mm_y ? [region.mm_y, region.mm_x] : spacing.mm;
  const along = scale => scale ? Math.hypot(dx * scale[1], dy * scale[0]) : null;
  const square = squared(aspect);
  return { px: along(square), mm: along(mm), nominal: along(spacing.nominal_mm), label: spacing.label, scale: mm || spacing.nominal_mm || square };
}

export class Ruler extends Drawing {
  /** @param {Film} film @param {HTMLElement} told holds the sentences, and says the length */
  constructor(film, told) {
    super(film);
    Object.assign(this, { told, last: [], lastBefore: [] });
  }

  start(x, y) {
    this.lastBefore = this.last;
    if (this.points.length > 1) this.last = this.points;
    super.start(x, y);
  }

  back() {
    this.last = this.lastBefore;
    super.back();
  }

  clear() {
    this.last = this.lastBefore = [];
    super.clear();
  }

  tell() {
    this.told.textContent = this.points.length > 1 ? this.sentence() + this.angle() : "";
    super.tell();
  }

  sentence() {
    const { px, mm, nominal, label } = measured(this.film.frame.facts, ...this.points);
    const { millimetres, pixels } = this.told.dataset, nominally = JSON.parse(this.told.dataset.nominally)[label];
    if (mm !== null) return millimetres.replace("{mm}", mm.toFixed(1));
    if (nominal !== null && nominally) return nominally.replace("{px}", Math.round(px)).replace("{mm}", nominal.toFixed(1));
    return pixels.replace("{px}", Math.round(px));
  }

  /** The angle between this line and the one before, from 0 to 90 degrees, as the film lies in the patient. */
  angle() {
    if (!this.last.length) return "";
    const [down, across] = measured(this.film.frame.facts, ...this.points).scale;
    const turn = ([from, to]) => Math.atan2((to.y - from.y) * down, (to.x - from.x) * across);
    const apart = Math.abs(turn(this.points) - turn(this.last)) % Math.PI;
    return this.told.dataset.angle.replace("{degrees}", (180 / Math.PI * Math.min(apart, Math.PI - apart)).toFixed(1));
  }

  /** Over the film that has just been drawn: the line, and the one before. */
  draw() {
    if (this.last.length) this.trace(this.last, [[RIM, 3], [INK, 1]], { arm: ARM_PX });
    if (this.points.length > 1) this.trace(this.points, [[RIM, 4], [INK, 1.75]], { arm: ARM_PX });
  }
}
