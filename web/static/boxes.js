// Lesions over the film: an outline with its axes, or a rectangle, which follow zoom and place of the film; what a doctor
// drew is dashed.  Of words nothing lies over it: name and score, or who drew it, stand beside it, with its number where
// there are several.

const SVG = "http://www.w3.org/2000/svg";

export class Boxes {
  /** @param {Film} film @param {SVGElement} svg lies over the film's canvas and is as large @param list names them */
  constructor(film, svg, list) {
    Object.assign(this, { film, svg, list, lesions: [] });
  }

  /** Show *lesions*, and no others. Each has {box, text, outline, axes, doctor}: box and axes are x0, y0, x1, y1 in pixels
   * of the frame; an outline is a list of corners, empty where there is only a box. */
  show(lesions) {
    this.lesions = lesions.map(({ box, outline = [], axes = [], doctor = false }, index) => {
      const group = document.createElementNS(SVG, "g"), name = document.createElementNS(SVG, "text");
      name.textContent = lesions.length > 1 ? index + 1 : "";
      group.classList.toggle("doctor", doctor);
      const lines = axes.map(() => document.createElementNS(SVG, "line"));
      group.append(document.createElementNS(SVG, outline.length ? "polygon" : "rect"), name, ...lines);
      return { box, outline, axes, group };
    });
    this.svg.replaceChildren(...this.lesions.map(({ group }) => group));
    this.list.replaceChildren(...lesions.map(({ text, doctor }) => Object.assign(document.createElement("li"), { textContent: text, className: doctor ? "doctor" : "" })));
    this.place();
  }

  /** Put every box where its place of the frame was drawn last. */
  place() {
    if (!this.film.laid) return;
    const { ratio } = this.film.laid;
    const at = (x, y) => (({ x, y }) => [x / ratio, y / ratio])(this.film.placeOf({ x, y }));
    const set = (element, values) => Object.entries(values).forEach(([key, value]) => element.setAttribute(key, value.toFixed(1)));
    for (const { box: [x0, y0, x1, y1], outline, axes, group } of this.lesions) {
      const [x, y] = at(x0, y0), [right, bottom] = at(x1, y1), [shape, name, ...lines] = group.children;
      if (outline.length) shape.setAttribute("points", outline.map(corner => at(...corner).map(side => side.toFixed(1)).join()).join(" "));
      else set(shape, { x, y, width: right - x, height: bottom - y });
      set(name, { x, y: y - 5 });
      axes.forEach(([ax, ay, bx, by], axis) => {
        const [from, to] = [at(ax, ay), at(bx, by)];
        set(lines[axis], { x1: from[0], y1: from[1], x2: to[0], y2: to[1] });
      });
    }
  }
}
