// Sends the chosen file piece by piece and shows how far it has come; a piece that got no answer is sent again.

const PATIENCE_MS = 60000, PAUSE_MS = 2000, TRIES = 15; // half a minute of a broken line
const form = document.getElementById("upload");

/** The box's answer to a piece or a form; throws its sentence when it refuses, and TypeError or AbortError in a silence. */
async function post(url, body) {
  const patience = new AbortController(), timer = setTimeout(() => patience.abort(), PATIENCE_MS);
  try {
    const headers = { "X-CSRFToken": form.elements.csrf_token.value, Accept: "application/json" };
    if (body instanceof Blob) headers["Content-Type"] = "application/octet-stream";
    const answer = await fetch(url, { method: "POST", body, headers, signal: patience.signal });
    if (answer.status >= 502) throw new TypeError(String(answer.status)); // the front has no box behind it just now
    const text = await answer.text();
    if (answer.ok) return JSON.parse(text);
    let refusal = text;
    try { refusal = JSON.parse(text).text; } catch { /* a plain sentence */ }
    throw new Error(refusal);
  } finally {
    clearTimeout(timer);
  }
}

async function patiently(url, body) {
  for (let tried = 1; ; tried++) {
    try {
      return await post(url, body);
    } catch (error) {
      if (!(error instanceof TypeError || error.name === "AbortError") || tried === TRIES) throw error;
      await new Promise(wake => setTimeout(wake, PAUSE_MS));
    }
  }
}

function fields(values) {
  const made = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) made.set(name, value);
  return made;
}

form?.addEventListener("submit", async event => {
  event.preventDefault();
  const file = form.elements.file.files[0], bar = form.querySelector("progress"), told = form.querySelector(".told");
  const button = form.querySelector("button"), size = Number(form.dataset.piece);
  button.disabled = true;
  bar.hidden = false;
  told.classList.remove("error");
  try {
    const { token } = await patiently(form.action, fields({ name: file.name, size: file.size }));
    for (let at = 0; at < file.size;) {
      ({ at } = await patiently(`${form.action}/${token}/${at}`, file.slice(at, at + size)));
      bar.value = Math.floor(100 * at / file.size);
      told.textContent = form.dataset.sending.replace("{percent}", bar.value);
    }
    const again = form.elements.again.checked ? "yes" : "";
    const { page } = await patiently(`${form.action}/${token}/done`, fields({ size: file.size, again }));
    location.replace(page);
  } catch (error) {
    const silent = error instanceof TypeError || error.name === "AbortError";
    told.textContent = silent ? form.dataset.broken : error.message;
    told.classList.add("error");
    bar.hidden = true;
    button.disabled = false;
  }
});
