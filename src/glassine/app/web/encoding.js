// Animated PNG and WebP out of straight RGBA frames. APNG is written here from scratch, with the browser's own deflate,
// and keeps every value. WebP pictures are the browser's, put together to an animation here: smaller, but a canvas
// stores colors multiplied by alpha, so that those of nearly clear pixels are rounded.

const PLAYS_FOREVER = 0;

/** Frames as a Blob; `format` is png or webp. Frames are `{ data, duration }`, durations in ms. */
export function encode(format, frames, width, height, plays = PLAYS_FOREVER, progress = () => {}) {
  return (format === "webp" ? animatedWebP : animatedPng)(frames, width, height, plays, progress);
}

// APNG
const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c >>> 0;
});

function chunk(name, ...parts) {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const bytes = new Uint8Array(12 + length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length);
  for (let i = 0; i < 4; i++) bytes[4 + i] = name.charCodeAt(i);
  let at = 8;
  for (const part of parts) { bytes.set(part, at); at += part.length; }
  let crc = 0xffffffff;
  for (let i = 4; i < 8 + length; i++) crc = CRC[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  view.setUint32(8 + length, (crc ^ 0xffffffff) >>> 0);
  return bytes;
}

/** Numbers as big-endian bytes: `[[4, width], [1, depth], ...]`. */
function big(...fields) {
  return Uint8Array.from(fields.flatMap(([size, value]) => Array.from({ length: size }, (_, i) => (value >>> (8 * (size - 1 - i))) & 255)));
}

/** Rows with the filter whose differences are smallest, compressed. */
async function deflated(data, width, height) {
  const row = 4 * width;
  const bytes = new Uint8Array((row + 1) * height);
  const tries = [0, 1, 2, 4].map((kind) => ({ kind, line: new Uint8Array(row) }));
  for (let y = 0; y < height; y++) {
    let best = null;
    for (const one of tries) {
      let sum = 0;
      for (let x = 0; x < row; x++) {
        const here = y * row + x;
        const left = x >= 4 ? data[here - 4] : 0;
        const up = y ? data[here - row] : 0;
        const corner = x >= 4 && y ? data[here - row - 4] : 0;
        const guess = one.kind === 0 ? 0 : one.kind === 1 ? left : one.kind === 2 ? up : paeth(left, up, corner);
        const value = (data[here] - guess) & 255;
        one.line[x] = value;
        sum += value < 128 ? value : 256 - value;
      }
      if (!best || sum < best.sum) best = { sum, one };
    }
    bytes[y * (row + 1)] = best.one.kind;
    bytes.set(best.one.line, y * (row + 1) + 1);
  }
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function paeth(left, up, corner) {
  const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

async function animatedPng(frames, width, height, plays, progress) {
  const parts = [new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10]),
    chunk("IHDR", big([4, width], [4, height], [1, 8], [1, 6], [1, 0], [1, 0], [1, 0]))];
  if (frames.length > 1) parts.push(chunk("acTL", big([4, frames.length], [4, plays])));
  let number = 0;
  for (const [index, { data, duration }] of frames.entries()) {
    if (frames.length > 1) {
      parts.push(chunk("fcTL", big([4, number++], [4, width], [4, height], [4, 0], [4, 0], [2, Math.min(65535, duration)], [2, 1000], [1, 0], [1, 0])));
    }
    const packed = await deflated(data, width, height);
    parts.push(index ? chunk("fdAT", big([4, number++]), packed) : chunk("IDAT", packed));
    progress(index + 1);
  }
  return new Blob([...parts, chunk("IEND")], { type: "image/png" });
}

// WebP
function riff(name, ...parts) {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const bytes = new Uint8Array(8 + length + (length & 1));
  for (let i = 0; i < 4; i++) bytes[i] = name.charCodeAt(i);
  new DataView(bytes.buffer).setUint32(4, length, true);
  let at = 8;
  for (const part of parts) { bytes.set(part, at); at += part.length; }
  return bytes;
}

const little = (size, value) => Uint8Array.from({ length: size }, (_, i) => Math.floor(value / 256 ** i) & 255);

/** The picture chunks of a still WebP: VP8L, or ALPH and VP8. */
function pictureChunks(bytes) {
  const view = new DataView(bytes.buffer);
  const found = [];
  for (let at = 12; at + 8 <= bytes.length;) {
    const name = String.fromCharCode(...bytes.subarray(at, at + 4));
    const end = at + 8 + view.getUint32(at + 4, true);
    if (["VP8 ", "VP8L", "ALPH"].includes(name)) found.push(riff(name, bytes.subarray(at + 8, end)));
    at = end + (end & 1);
  }
  return found;
}

async function animatedWebP(frames, width, height, plays, progress) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  const parts = [];
  for (const [index, { data, duration }] of frames.entries()) {
    context.putImageData(new ImageData(data, width, height), 0, 0);
    const blob = await canvas.convertToBlob({ type: "image/webp", quality: 1 });
    if (blob.type !== "image/webp") throw new Error("this browser does not write WebP: choose APNG");
    const still = new Uint8Array(await blob.arrayBuffer());
    if (frames.length === 1) return new Blob([still], { type: "image/webp" });
    // 2: not blended with the frame before
    parts.push(riff("ANMF", little(6, 0), little(3, width - 1), little(3, height - 1), little(3, duration), little(1, 2), ...pictureChunks(still)));
    progress(index + 1);
  }
  // 0x12: animation and alpha
  const head = [riff("VP8X", little(4, 0x12), little(3, width - 1), little(3, height - 1)), riff("ANIM", little(4, 0), little(2, plays))];
  const size = [...head, ...parts].reduce((sum, part) => sum + part.length, 4);
  return new Blob([Uint8Array.from("RIFF", (letter) => letter.charCodeAt(0)), little(4, size),
    Uint8Array.from("WEBP", (letter) => letter.charCodeAt(0)), ...head, ...parts], { type: "image/webp" });
}
