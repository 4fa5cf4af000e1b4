// Registration: a barcode scanner is a keyboard that types quickly and ends with Enter; an ID card tells birth date and sex.

import { ask } from "./answers.js";

const FAST_MS = 50, SHORTEST = 6; // between two keys, and of a scanned number
const form = document.querySelector("form.entry"), says = document.getElementById("card");
const { patient_id: number, name, spelled, birth_date: birth, sex, examination } = form.elements;
let burst = "", last = 0, suggested = spelled.value;

/** What an 18-digit ID-card number says (GB 11643-1999); null for another number, false for a wrong check digit. */
function card(text) {
  if (!/^[1-9]\d{5}(18|19|20)\d{9}[\dX]$/.test(text)) return null;
  const sum = [...text.slice(0, 17)].reduce((total, digit, place) => total + Number(digit) * (2 ** (17 - place) % 11), 0);
  if ("10X98765432"[sum % 11] !== text[17]) return false;
  return { born: `${text.slice(6, 10)}-${text.slice(10, 12)}-${text.slice(12, 14)}`, sex: text[16] % 2 ? "M" : "F" };
}

function read() {
  number.value = number.value.normalize("NFKC").trim();
  const said = card(number.value.replaceAll(" ", "").toUpperCase());
  says.textContent = said === false ? says.dataset.wrong : said ? says.dataset.right : "";
  says.classList.toggle("error", said === false);
  if (said) [birth.value, sex.value] = [said.born, said.sex];
  return said !== false;
}

function goOn() {
  if (!read()) number.select();
  else ([name, birth, examination].find(field => !field.value) ?? form.querySelector("button.main")).focus();
}

number.addEventListener("change", read);
document.addEventListener("keydown", event => {
  if (event.isComposing) return;
  const quick = event.timeStamp - last < FAST_MS;
  last = event.timeStamp;
  if (event.key.length === 1) {
    burst = quick ? burst + event.key : event.key;
    return;
  }
  if (event.key === "Shift") return;
  const scanned = event.key === "Enter" && quick && burst.length >= SHORTEST && event.target !== number ? burst : "";
  burst = "";
  if (event.key !== "Enter" || (event.target !== number && !scanned)) return;
  event.preventDefault(); // a scanner's Enter must not send half a form
  if (scanned) {
    if (event.target.value?.endsWith(scanned)) event.target.value = event.target.value.slice(0, -scanned.length);
    number.value = scanned;
  }
  goOn();
});

name.addEventListener("change", async () => {
  if (spelled.value !== suggested) return; // somebody has typed it
  const asked = new FormData();
  for (const key of ["csrf_token", "name"]) asked.set(key, form.elements[key].value);
  try {
    const answer = await ask(form.dataset.spelling, { method: "POST", body: asked });
    if (answer.ok && spelled.value === suggested) spelled.value = suggested = (await answer.json()).spelled;
  } catch {
    // the box fills it in when the form comes
  }
});
