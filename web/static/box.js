// The box page comes again by itself, soon while the examination is under way, but not under someone's hands.

import { answers } from "./answers.js";

const time = document.getElementById("time");
if (time) {
  const now = new Date();
  time.value = new Date(now - 60000 * now.getTimezoneOffset()).toISOString().slice(0, 16);
}
setTimeout(async function again() {
  if ((time && time === document.activeElement) || !await answers()) setTimeout(again, 5000);
  else location.reload();
}, Number(document.getElementById("box").dataset.reload));
