// A clip is played as quickly as it was taken: a frame stands until it is time for the next that there is to show.

const LATE_MS = 500; // an old PC that is this late plays on from here and does not rush after the time
const MOST_HZ = 60; // a screen draws no more; a header may tell thousands

export class Player {
  /** @param step shows the frame at a place, and ends when it is there @param changed is told whether the clip plays */
  constructor(step, changed) {
    Object.assign(this, { step, changed, turn: 0, playing: false });
  }

  /** Whether the frames *numbers* of a clip of *rate* frames a second follow each other more quickly than is played. */
  static slows(numbers, rate) {
    return numbers.slice(1).some((number, at) => rate / (number - numbers[at]) > MOST_HZ);
  }

  /** Play the frames *numbers* of a clip of *rate* frames a second, round and round, from behind *place* on. */
  async start(numbers, rate, place) {
    const mine = ++this.turn;
    this.set(true);
    for (let due = performance.now(), at = place; ; ) {
      const next = (at + 1) % numbers.length;
      due += Math.max(1000 / MOST_HZ, 1000 * Math.max(1, numbers[next] - numbers[at]) / rate);
      const early = due - performance.now();
      if (early < -LATE_MS) due = performance.now();
      await new Promise(done => setTimeout(done, Math.max(0, early)));
      if (mine !== this.turn) return;
      await this.step(next);
      if (mine !== this.turn) return;
      at = next;
    }
  }

  stop() {
    this.turn++;
    this.set(false);
  }

  set(playing) {
    if (playing !== this.playing) this.changed(this.playing = playing);
  }
}
