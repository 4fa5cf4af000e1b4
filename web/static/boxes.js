// Lesions over the film: an SVG rectangle each with its name and score, which follow zoom and place of the film.

const SVG = "http://www.w3.org/2000/svg";

export class Boxes {
  /** @param {Film} film @param {SVGElement} svg lies over the film's canvas and is as large */
  constructor(film, svg) {
    Object.assign(this, { film, svg, lesions: [] });
  }

  /** Show *lesions* ({box, text}; box: x0, y0, x1, y1 in pixels of the frame), and no others. */
  show(lesions) {
    this.lesions = lesions.map(({ box, text }) => {
      const group = document.createElementNS(SVG, "g"), name = document.createElementNS(SVG, "text");
      name.textContent = text;
      group.append(document.createElementNS(SVG, "rect"), name);
      return { box, group };
    });
    this.svg.replaceChildren(...this.lesions.map(({ group }) => group));
    this.place();
  }

  /** Put every box where its place of the frame was drawn last. */
  place() {
    if (!this.film.laid) return;
    for (const { box: [x0, y0, x1, y1], group } of this.lesions) {
      const { ratio } = this.film.laid, a = this.film.placeOf({ x: x0, y: y0 }), b = this.film.placeOf({ x: x1, y: y1 });
      const [rect, name] = group.children;
      const x = a.x / ratio, y = a.y / ratio;
      for (const [key, value] of Object.entries({ x, y, width: (b.x - a.x) / ratio, height: (b.y - a.y) / ratio })) rect.setAttribute(key, value.toFixed(1));
      name.setAttribute("x", x.toFixed(1));
      name.setAttribute("y", (y - 5).toFixed(1));
    }
  }
}
