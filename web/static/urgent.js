// A new urgent case makes itself known on every page: a banner, the count in the title, and a sound where it is on.

const notice = document.getElementById("urgent"), lists = document.getElementById("lists"), sound = document.getElementById("sound");
const title = document.title, SEEN = "lantern-urgent-seen", RUNG = "lantern-urgent-rung", SOUND = "lantern-sound";

/** What this browser kept; a browser that keeps nothing only forgets. */
function kept(key, value) {
  try {
    if (value !== undefined) localStorage.setItem(key, value);
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/** Whether *mark* tells of a case that came after *before*; another box or a restarted one has another beginning. */
function isNew(mark, before) {
  const [born, number] = mark.split("."), [known, last] = (before || "").split(".");
  return born === known && Number(number) > Number(last);
}

document.addEventListener("urgent", ({ detail }) => {
  const [count, mark] = detail.split(" ");
  document.title = count === "0" ? title : `(${count}) ${title}`;
  const looking = lists && lists.dataset.tab === "open" && !document.hidden;
  if (kept(RUNG)?.split(".")[0] !== mark.split(".")[0]) kept(RUNG, mark);
  if (kept(SEEN)?.split(".")[0] !== mark.split(".")[0]) kept(SEEN, mark);
  if (isNew(mark, kept(RUNG))) {
    kept(RUNG, mark);
    if (kept(SOUND) === "on") ring();
  }
  notice.hidden = count === "0" || !isNew(mark, kept(SEEN));
  if (looking) {
    kept(SEEN, mark);
    notice.hidden = true;
  }
});

/** Two tones, made here: no file has to come. */
function ring() {
  const context = new AudioContext();
  for (const [start, pitch] of [[0, 660], [0.28, 880]]) {
    const tone = context.createOscillator(), loudness = context.createGain(), at = context.currentTime + start;
    tone.frequency.value = pitch;
    loudness.gain.setValueAtTime(0.25, at);
    loudness.gain.exponentialRampToValueAtTime(0.001, at + 0.25);
    tone.connect(loudness).connect(context.destination);
    tone.start(at);
    tone.stop(at + 0.26);
    if (start) tone.onended = () => context.close();
  }
}

if (sound) {
  const show = () => {
    const on = kept(SOUND) === "on";
    sound.setAttribute("aria-pressed", String(on));
    sound.textContent = sound.dataset[on ? "on" : "off"];
  };
  sound.hidden = false;
  sound.addEventListener("click", () => {
    kept(SOUND, kept(SOUND) === "on" ? "off" : "on");
    if (kept(SOUND) === "on") ring(); // so it is heard how loud it is, and the browser allows it from now on
    show();
  });
  show();
}
