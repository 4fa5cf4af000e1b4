// The box page comes again by itself, soon while the examination is under way, but not under someone's hands.

const time = document.getElementById("time");
if (time) {
  const now = new Date();
  time.value = new Date(now - 60000 * now.getTimezoneOffset()).toISOString().slice(0, 16);
}
setTimeout(function again() {
  if (time && time === document.activeElement) setTimeout(again, 5000);
  else location.reload();
}, Number(document.getElementById("box").dataset.reload));
