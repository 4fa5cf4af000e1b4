// What a hand draws over a film, point by point: the line that is measured, and the place that a doctor marks.

export const RIM = "#12181b";

export class Drawing {
  /** @param {Film} film */
  constructor(film) {
    Object.assign(this, { film, points: [], before: null });
  }

  /** Begin at a point of the canvas, in CSS pixels. */
  start(x, y) {
    this.before = this.points;
    this.points = [this.film.pixelAt(x, y)];
    this.tell();
  }

  /** Draw on to another point. */
  end(x, y) {
    if (!this.points.length) return;
    this.points = [this.points[0], this.film.pixelAt(x, y)];
    this.tell();
  }

  /** It was no drawing: have the one before again. */
  back() {
    if (this.before) this.points = this.before;
    this.tell();
  }

  clear() {
    this.points = [];
    this.before = null;
    this.tell();
  }

  /** Say what is drawn now. */
  tell() {
    this.film.draw();
  }

  /** Over the film that has just been drawn: a path through *points* of the frame, once for each [colour, width]. */
  trace(points, strokes, { dash = [], closed = false, arm = 0 } = {}) {
    const context = this.film.context, ratio = window.devicePixelRatio || 1, reach = arm * ratio;
    const [first, ...rest] = points.map(point => this.film.placeOf(point));
    for (const [colour, width, dashed = true] of strokes) {
      context.strokeStyle = colour;
      context.lineWidth = width * ratio;
      context.setLineDash(dashed ? dash.map(length => length * ratio) : []);
      context.beginPath();
      context.moveTo(first.x, first.y);
      for (const { x, y } of rest) context.lineTo(x, y);
      if (closed) context.closePath();
      if (reach) for (const { x, y } of [first, ...rest]) {
        context.moveTo(x - reach, y);
        context.lineTo(x + reach, y);
        context.moveTo(x, y - reach);
        context.lineTo(x, y + reach);
      }
      context.stroke();
    }
    context.setLineDash([]);
  }
}
