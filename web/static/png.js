// A PNG (ISO/IEC 15948) undone in the page, because a browser's own decoder throws the lower eight of sixteen bits away.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const CHANNELS = { 0: 1, 2: 3 };

/** Whether this browser can undo deflate (Chromium 80, Firefox 113, Safari 16.4). */
export const canDecode = typeof DecompressionStream === "function";

/**
 * Decode a non-interlaced grey (8 or 16 bits) or RGB (8 bits) PNG.
 * @param {ArrayBuffer} buffer
 * @returns {Promise<{width: number, height: number, channels: number, depth: number, data: Uint8Array|Uint16Array}>}
 */
export async function decodePng(buffer) {
  const bytes = new Uint8Array(buffer);
  const view = new DataView(buffer);
  if (SIGNATURE.some((value, at) => bytes[at] !== value)) throw new Error("not a PNG");
  let header = null;
  const parts = [];
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (kind === "IHDR") header = { width: view.getUint32(at + 8), height: view.getUint32(at + 12), depth: bytes[at + 16], colour: bytes[at + 17], interlace: bytes[at + 20] };
    if (kind === "IDAT") parts.push(bytes.subarray(at + 8, at + 8 + length));
    if (kind === "IEND") break;
    at += 12 + length;
  }
  const channels = header && CHANNELS[header.colour];
  if (!channels || header.interlace || ![8, 16].includes(header.depth) || (channels === 3 && header.depth !== 8)) throw new Error("a PNG of another kind");
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  const raw = new Uint8Array(await new Response(stream).arrayBuffer());
  const step = channels * header.depth / 8;
  const stride = header.width * step;
  if (raw.length < (stride + 1) * header.height) throw new Error("the PNG ends early");
  unfilter(raw, header.height, stride, step);
  return { width: header.width, height: header.height, channels, depth: header.depth, data: packed(raw, header.height, stride, header.depth) };
}

/** Undo the filters of clause 9, row by row, in place. */
function unfilter(raw, rows, stride, step) {
  for (let row = 0, at = 0; row < rows; row++, at += stride + 1) {
    const filter = raw[at], now = at + 1, end = now + stride, up = row ? stride + 1 : 0;
    if (filter === 1) {
      for (let i = now + step; i < end; i++) raw[i] += raw[i - step];
    } else if (filter === 2 && up) {
      for (let i = now; i < end; i++) raw[i] += raw[i - up];
    } else if (filter === 3) {
      for (let i = now; i < end; i++) raw[i] += ((i - step >= now ? raw[i - step] : 0) + (up ? raw[i - up] : 0)) >> 1;
    } else if (filter === 4) {
      for (let i = now; i < end; i++) {
        const a = i - step >= now ? raw[i - step] : 0, b = up ? raw[i - up] : 0, c = up && i - step >= now ? raw[i - up - step] : 0;
        const toA = Math.abs(b - c), toB = Math.abs(a - c), toC = Math.abs(a + b - 2 * c);
        raw[i] += toA <= toB && toA <= toC ? a : toB <= toC ? b : c;
      }
    }
  }
}

/** The rows without their filter bytes; sixteen bits are big-endian in a PNG. */
function packed(raw, rows, stride, depth) {
  if (depth === 8) {
    const data = new Uint8Array(rows * stride);
    for (let row = 0; row < rows; row++) data.set(raw.subarray(row * (stride + 1) + 1, (row + 1) * (stride + 1)), row * stride);
    return data;
  }
  const data = new Uint16Array(rows * stride / 2);
  for (let row = 0, to = 0; row < rows; row++) {
    for (let at = row * (stride + 1) + 1, end = at + stride; at < end; at += 2) data[to++] = raw[at] << 8 | raw[at + 1];
  }
  return data;
}
