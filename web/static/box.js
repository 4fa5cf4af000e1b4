// The box page comes again by itself, soon while the examination is under way, but not under someone's hands.

import { answers } from "./answers.js";

const time = document.getElementById("time"), typing = "input:not([type=hidden])";
const begun = [...document.querySelectorAll(typing)].map(field => field.value);
if (time) {
  const now = new Date();
  time.value = new Date(now - 60000 * now.getTimezoneOffset()).toISOString().slice(0, 16);
}
setTimeout(async function again() {
  const fields = [...document.querySelectorAll(typing)];
  const busy = fields.some((field, at) => field === document.activeElement || (field !== time && field.value !== begun[at]));
  if (busy || !await answers()) setTimeout(again, busy ? 1500 : 5000);
  else location.reload();
}, Number(document.getElementById("box").dataset.reload));
