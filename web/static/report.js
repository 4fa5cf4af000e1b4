// The report's pictures: the film as it opens, and once more under its heat map.

import { Film, loadFrame, loadHeat } from "./film.js";

document.getElementById("print").addEventListener("click", () => window.print());
const plates = document.getElementById("plates");
if (plates) {
  const frame = await loadFrame(plates.dataset.frame);
  const heat = plates.dataset.heat ? await loadHeat(plates.dataset.heat).catch(() => null) : null;
  const whole = frame.levels[frame.levels.length - 1];
  for (const canvas of plates.querySelectorAll("canvas")) {
    const warm = canvas.classList.contains("warm");
    if (warm && !heat) {
      canvas.remove();
      continue;
    }
    canvas.height = Math.round(canvas.clientWidth * whole.height / whole.width);
    canvas.width = canvas.clientWidth;
    const film = new Film(canvas);
    Object.assign(film, { heat: warm ? heat : null, share: warm ? 0.6 : 0 });
    film.show(frame, true);
  }
}
