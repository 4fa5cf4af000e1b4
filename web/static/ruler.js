// A line between two points of a film and how long it is: in millimetres only where something calibrated says so.

const INK = "#ffd84d", RIM = "#12181b", ARM_PX = 6;
const area = region => (region.x1 - region.x0) * (region.y1 - region.y0);

/** The ultrasound region a point lies in; of several the one of high priority, then the smallest (PS3.3 C.8.5.5). */
function regionAt(regions, { x, y }) {
  const holding = regions.filter(region => region.x0 <= x && x < region.x1 && region.y0 <= y && y < region.y1);
  return holding.sort((a, b) => b.first - a.first || area(a) - area(b))[0];
}

/** How long a line is: in pixels, in millimetres of the patient where these are known, and in those the header names. */
export function measured({ regions = [], spacing = {} }, from, to) {
  const dx = to.x - from.x, dy = to.y - from.y;
  const region = regionAt(regions, from), same = region && region === regionAt(regions, to);
  const mm = same && region.mm_x && region.mm_y ? [region.mm_y, region.mm_x] : spacing.mm;
  const along = scale => scale ? Math.hypot(dx * scale[1], dy * scale[0]) : null;
  return { px: Math.hypot(dx, dy), mm: along(mm), nominal: along(spacing.nominal_mm), label: spacing.label, scale: mm || spacing.nominal_mm };
}

export class Ruler {
  /** @param {Film} film @param {HTMLElement} told holds the sentences, and says the length */
  constructor(film, told) {
    Object.assign(this, { film, told, from: null, to: null, last: null, before: null });
  }

  /** Put the first end at a point of the canvas, in CSS pixels. */
  start(x, y) {
    this.before = [this.from, this.to, this.last];
    if (this.from && this.to) this.last = [this.from, this.to];
    this.from = this.film.pixelAt(x, y);
    this.to = null;
    this.tell();
  }

  /** Draw the line on to another point. */
  end(x, y) {
    if (!this.from) return;
    this.to = this.film.pixelAt(x, y);
    this.tell();
  }

  /** It was no line: have the one before again. */
  back() {
    if (this.before) [this.from, this.to, this.last] = this.before;
    this.tell();
  }

  clear() {
    this.from = this.to = this.last = this.before = null;
    this.tell();
  }

  tell() {
    this.told.textContent = this.from && this.to ? this.sentence() + this.angle() : "";
    this.film.draw();
  }

  sentence() {
    const { px, mm, nominal, label } = measured(this.film.frame.facts, this.from, this.to);
    const { millimetres, pixels } = this.told.dataset, nominally = JSON.parse(this.told.dataset.nominally)[label];
    if (mm !== null) return millimetres.replace("{mm}", mm.toFixed(1));
    if (nominal !== null && nominally) return nominally.replace("{px}", Math.round(px)).replace("{mm}", nominal.toFixed(1));
    return pixels.replace("{px}", Math.round(px));
  }

  /** The angle between this line and the one before, from 0 to 90 degrees, as the film lies in the patient. */
  angle() {
    if (!this.last) return "";
    const [down, across] = measured(this.film.frame.facts, this.from, this.to).scale || [1, 1];
    const turn = ([from, to]) => Math.atan2((to.y - from.y) * down, (to.x - from.x) * across);
    const apart = Math.abs(turn([this.from, this.to]) - turn(this.last)) % Math.PI;
    return this.told.dataset.angle.replace("{degrees}", (180 / Math.PI * Math.min(apart, Math.PI - apart)).toFixed(1));
  }

  /** Over the film that has just been drawn: the line, and the one before. */
  draw() {
    if (this.last) this.line(...this.last, [[RIM, 3], [INK, 1]]);
    if (this.from && this.to) this.line(this.from, this.to, [[RIM, 4], [INK, 1.75]]);
  }

  line(from, to, strokes) {
    const context = this.film.context, ratio = window.devicePixelRatio || 1, arm = ARM_PX * ratio;
    const a = this.film.placeOf(from), b = this.film.placeOf(to);
    for (const [colour, width] of strokes) {
      context.strokeStyle = colour;
      context.lineWidth = width * ratio;
      context.beginPath();
      context.moveTo(a.x, a.y);
      context.lineTo(b.x, b.y);
      for (const { x, y } of [a, b]) {
        context.moveTo(x - arm, y);
        context.lineTo(x + arm, y);
        context.moveTo(x, y - arm);
        context.lineTo(x, y + arm);
      }
      context.stroke();
    }
  }
}
