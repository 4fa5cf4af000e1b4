// The place that a doctor marks on a film, "here it is": a box or an outline, which goes with the next word that is kept.

import { Drawing, RIM } from "./drawing.js";

const INK = "#7dffb2", DASH = [7, 5], APART_PX = 4, MOST_POINTS = 400, LEAST_PX = 2;
const tenth = side => Math.round(10 * side) / 10;

/** The corners of a box between two points. */
const corners = ([a, b]) => [a, { x: b.x, y: a.y }, b, { x: a.x, y: b.y }];

export class Marker extends Drawing {
  /** @param {Film} film @param {HTMLElement} told says that it is not kept yet @param {() => {instance, frame}} where what is shown */
  constructor(film, told, where) {
    super(film);
    Object.assign(this, { told, where, on: null, shape: "", was: null });
  }

  /** @param {string} shape "mark-box" or "mark-outline" */
  start(x, y, shape) {
    this.was = { on: this.on, shape: this.shape };
    this.shape = shape;
    this.on = this.where();
    super.start(x, y);
  }

  end(x, y) {
    if (this.shape === "mark-box" || this.points.length < 2) return super.end(x, y);
    const now = this.film.pixelAt(x, y), last = this.points[this.points.length - 1], { across, down, ratio } = this.film.laid;
    if (Math.hypot((now.x - last.x) * across, (now.y - last.y) * down) < APART_PX * ratio) return;
    this.points = [...this.points, now];
    if (this.points.length > MOST_POINTS) this.points = this.points.filter((_, index) => index % 2 === 0);
    this.tell();
  }

  back() {
    Object.assign(this, this.was);
    super.back();
  }

  clear() {
    this.on = null;
    super.clear();
  }

  /** Whether it is a place: no slip of the hand. */
  get stands() {
    const sides = ["x", "y"].map(side => this.points.map(point => point[side]));
    return this.points.length > 1 && sides.every(along => Math.max(...along) - Math.min(...along) >= LEAST_PX);
  }

  tell() {
    const shape = this.shape === "mark-outline" && this.points.length < 3 ? [] : this.points;
    const text = this.on && this.stands && shape.length ? JSON.stringify({ ...this.on, points: shape.map(({ x, y }) => [tenth(x), tenth(y)]) }) : "";
    document.querySelectorAll("[name=drawing]").forEach(field => field.value = text);
    this.told.hidden = !text;
    super.tell();
  }

  draw() {
    const here = this.on && this.where();
    if (!here || this.points.length < 2 || here.instance !== this.on.instance || here.frame !== this.on.frame) return;
    this.trace(this.shape === "mark-box" ? corners(this.points) : this.points, [[RIM, 4, false], [INK, 2]], { dash: DASH, closed: true });
  }
}
