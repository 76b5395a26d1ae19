// One sticker at a time, away from the page: decode, network, encode. Messages in: { bytes, type, name, settings };
// out: { kind: "network" | "film" | "progress" | "frame" | "done" | "error", ... }.

import { findBackground, finish, prepare, withStrength } from "./cutting.js";
import { encode } from "./encoding.js";

const MOST_PIXELS = 2 ** 26; // of all frames of a file together: 256 MB as they are kept here
const LOOKAHEAD = 8; // frames whose border is asked for the background
const AT_ONCE = 2; // frames in a call, for which memory is enough on a phone

let network = null;

/** The runtime and the two halves of the network; loaded once. */
async function load(settings) {
  const about = await (await fetch("./network/about.json")).json();
  const adapter = settings.gpu ? await navigator.gpu?.requestAdapter().catch(() => null) : null;
  const ort = await import(adapter ? "./runtime/ort.webgpu.min.mjs" : "./runtime/ort.wasm.min.mjs");
  ort.env.wasm.wasmPaths = new URL("./runtime/", import.meta.url).href;
  const threads = self.crossOriginIsolated ? Math.min(settings.threads || navigator.hardwareConcurrency || 1, 8) : 1;
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  const open = (file) => ort.InferenceSession.create(`./network/${file}`, {
    executionProviders: adapter ? ["webgpu", "wasm"] : ["wasm"], graphOptimizationLevel: "all" });
  const [latents, alpha] = [await open("latents.onnx"), await open("alpha.onnx")];
  return { ...about, ort, latents, alpha, where: adapter ? "WebGPU" : `${threads} thread${threads > 1 ? "s" : ""}` };
}

/** Frames of a file, straight RGBA: `{ width, height, plays, frames: [{ data, duration }] }`. */
async function decode({ bytes, type }) {
  if (!("ImageDecoder" in self) || !(await ImageDecoder.isTypeSupported(type))) return decodeStill(bytes, type);
  const decoder = new ImageDecoder({ data: bytes, type, preferAnimation: true, colorSpaceConversion: "none" });
  await decoder.tracks.ready;
  const track = decoder.tracks.selectedTrack;
  const count = track.frameCount;
  const frames = [];
  let [width, height] = [0, 0];
  await decoder.completed;
  for (let index = 0; index < count; index++) {
    const { image } = await decoder.decode({ frameIndex: index });
    if (!index) {
      [width, height] = [image.displayWidth, image.displayHeight];
      fits(width, height, count);
    }
    const data = new Uint8ClampedArray(4 * width * height);
    try {
      await image.copyTo(data, { format: "RGBA", colorSpace: "srgb" });
    } catch { // an older browser
      const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      data.set(context.getImageData(0, 0, width, height).data);
    }
    const duration = Math.round((image.duration || 0) / 1000);
    frames.push({ data, duration: count > 1 ? (duration > 10 ? duration : 100) : 1000 });
    image.close();
    say("progress", { what: "reading", done: index + 1, total: count });
  }
  const plays = Number.isFinite(track.repetitionCount) ? track.repetitionCount + 1 : 0;
  decoder.close();
  return { width, height, plays, frames };
}

async function decodeStill(bytes, type) {
  const picture = await createImageBitmap(new Blob([bytes], { type }), { premultiplyAlpha: "none", colorSpaceConversion: "none" });
  const { width, height } = picture;
  fits(width, height, 1);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const moves = ["image/gif", "image/webp", "image/png", "image/apng"].includes(type);
  const note = moves ? "This browser cannot read animations (it has no ImageDecoder): only the first frame was taken." : "";
  return { width, height, plays: 0, note, frames: [{ data: context.getImageData(0, 0, width, height).data, duration: 1000 }] };
}

function fits(width, height, count) {
  if (width * height * count <= MOST_PIXELS) return;
  throw new Error(`the file must have at most ${MOST_PIXELS / 2 ** 20} million pixels in all frames together, got ${count} frames of ${width} x ${height}: scale it down or cut it shorter, or use glassine on your machine`);
}

const say = (kind, more = {}, moved = []) => postMessage({ kind, ...more }, moved);

function shown(of, index, width, height, data) {
  const copy = data.slice();
  say("frame", { of, index, width, height, data: copy }, [copy.buffer]);
}

/** Alpha of all frames, one after the other, as they come out. */
async function* alphas({ frames, width, height }, color, seconds) {
  const { ort, side, radius, chunk } = network;
  const plane = side * side;
  const prepared = new Map(); // only those that are still needed
  const clip = (start, end) => {
    const data = new Float32Array(3 * plane * (end - start));
    for (let i = start; i < end; i++) {
      if (!prepared.has(i)) {
        const seen = new Float32Array(3 * plane);
        prepare(frames[i].data, width, height, color, side, seen, 0);
        prepared.set(i, seen);
      }
      data.set(prepared.get(i), 3 * plane * (i - start));
    }
    return new ort.Tensor("float32", data, [1, end - start, 3, side, side]);
  };
  const background = new ort.Tensor("float32", Float32Array.from(color, (part) => part / 255), [1, 3]);
  const run = async (session, feeds) => {
    const began = performance.now();
    const results = await session.run(feeds);
    seconds.network += (performance.now() - began) / 1000;
    return results;
  };
  for (let start = 0; start < frames.length; start += chunk) {
    const end = Math.min(start + chunk, frames.length);
    const [first, last] = [Math.max(0, start - radius), Math.min(frames.length, end + radius)];
    for (const i of prepared.keys()) if (i < first) prepared.delete(i);
    const { latents } = await run(network.latents, { clip: clip(first, last) });
    const size = latents.data.length / (last - first);
    const shape = latents.dims.slice(2);
    for (let i = start; i < end; i += AT_ONCE) {
      const till = Math.min(i + AT_ONCE, end);
      const part = latents.data.slice(size * (i - first), size * (till - first));
      const own = new ort.Tensor("float32", part, [1, till - i, ...shape]);
      const { alpha } = await run(network.alpha, { clip: clip(i, till), latents: own, background });
      for (let j = i; j < till; j++) yield alpha.data.subarray(plane * (j - i), plane * (j - i + 1));
    }
  }
}

async function cutOut({ bytes, type, settings }) {
  const began = performance.now();
  if (!network) {
    say("progress", { what: "loading the network", done: 0, total: 0 });
    network = await load(settings);
    say("network", { where: network.where });
  }
  const sticker = await decode({ bytes, type });
  const { frames, width, height, plays } = sticker;
  const color = settings.background || findBackground(frames.slice(0, LOOKAHEAD).map((frame) => frame.data), width, height);
  say("film", { width, height, durations: frames.map((frame) => frame.duration), color, note: sticker.note });
  for (const [index, { data }] of frames.entries()) shown("original", index, width, height, data);
  const seconds = { network: 0 };
  const results = [];
  for await (const alpha of alphas(sticker, color, seconds)) {
    const index = results.length;
    const data = finish(frames[index].data, width, height, color, network.side, alpha, 0);
    withStrength(data, settings.strength);
    results.push({ data, duration: frames[index].duration });
    shown("result", index, width, height, data);
    say("progress", { what: "cutting out", done: index + 1, total: frames.length });
  }
  const blob = await encode(settings.format, results, width, height, plays,
    (done) => say("progress", { what: "writing", done, total: frames.length }));
  const clear = results.every(({ data }) => data.every((value, i) => i % 4 !== 3 || value === 0));
  const whole = results.every(({ data }) => data.every((value, i) => i % 4 !== 3 || value === 255));
  say("done", { blob, frames: frames.length, clear, whole, networkSeconds: seconds.network, seconds: (performance.now() - began) / 1000 });
}

let last = Promise.resolve();
addEventListener("message", ({ data }) => {
  last = last.then(() => cutOut(data)).catch((error) => say("error", { text: error.message || String(error) }));
});
