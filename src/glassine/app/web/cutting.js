// Cutting out: what `glassine cutout --method network` does before and after the network. Frames are straight RGBA,
// 8 bits, row by row.

import { enlarge, innerSize, roundEven, shrink } from "./resizing.js";

const [INVISIBLE_TO, OPAQUE_FROM] = [4, 247];
const NEAR = 16;
const CELLS = 16;
const TOLERANCE = 0.06;

/** The most frequent color of the border of some frames: `[red, green, blue]`. */
export function findBackground(frames, width, height) {
  const border = [];
  for (const frame of frames) {
    for (const y of [0, height - 1]) for (let x = 0; x < width; x++) border.push([frame, 4 * (y * width + x)]);
    for (const x of [0, width - 1]) for (let y = 0; y < height; y++) border.push([frame, 4 * (y * width + x)]);
  }
  const opaque = border.filter(([frame, at]) => frame[at + 3] === 255).map(([frame, at]) => [frame[at], frame[at + 1], frame[at + 2]]);
  if (4 * opaque.length < border.length) return [128, 128, 128];
  const share = opaque.map((color) => color.map((part) => Math.fround(part / 255)));
  const cells = share.map(([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((part) => Math.min(CELLS - 1, Math.floor(part * (CELLS - 0.001))));
    return (x * CELLS + y) * CELLS + z;
  });
  const votes = new Int32Array(CELLS ** 3);
  for (const cell of cells) votes[cell]++;
  const fullest = votes.indexOf(votes.reduce((most, one) => Math.max(most, one), 0));
  const center = mean(share.filter((_, i) => cells[i] === fullest));
  const near = share.filter((color) => color.every((part, c) => Math.abs(part - center[c]) < TOLERANCE));
  const estimate = (near.length ? mean(near) : center).map((part) => 255 * part);
  const close = opaque.filter((color) => color.every((part, c) => Math.abs(part - estimate[c]) <= NEAR));
  return [0, 1, 2].map((c) => roundEven(close.length ? median(close.map((color) => color[c])) : estimate[c]));
}

const mean = (colors) => [0, 1, 2].map((c) => colors.reduce((sum, color) => sum + color[c], 0) / colors.length);

function median(values) {
  values.sort((one, other) => one - other);
  const middle = values.length >> 1;
  return values.length % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/** The frame on a color, three channels. */
export function laidOn(frame, width, height, color) {
  const data = new Uint8Array(3 * width * height);
  for (let i = 0, j = 0; i < data.length; i += 3, j += 4) {
    const alpha = frame[j + 3];
    for (let c = 0; c < 3; c++) data[i + c] = alpha === 255 ? frame[j + c] : Math.floor((frame[j + c] * alpha + color[c] * (255 - alpha) + 127) / 255);
  }
  return { data, width, height, channels: 3 };
}

/** What the network sees of a frame: written into `target` (3 side side, in [0, 1]) from `offset` on. */
export function prepare(frame, width, height, color, side, target, offset) {
  let picture = laidOn(frame, width, height, color);
  const [inWidth, inHeight] = innerSize(width, height, side);
  if (inWidth !== width || inHeight !== height) {
    const change = inWidth < width || inHeight < height ? shrink : enlarge;
    picture = change(picture, inWidth, inHeight, true);
  }
  for (let c = 0; c < 3; c++) {
    const plane = offset + c * side * side;
    target.fill(Math.fround(color[c] / 255), plane, plane + side * side);
    for (let y = 0; y < inHeight; y++) {
      for (let x = 0; x < inWidth; x++) target[plane + y * side + x] = Math.fround(picture.data[3 * (y * inWidth + x) + c] / 255);
    }
  }
}

/** The result's frame from the network's alpha (side side, in [0, 1], from `offset` on). */
export function finish(frame, width, height, color, side, alpha, offset) {
  const opaque = laidOn(frame, width, height, color);
  const [inWidth, inHeight] = innerSize(width, height, side);
  const small = { data: new Float32Array(inWidth * inHeight), width: inWidth, height: inHeight, channels: 1 };
  for (let y = 0; y < inHeight; y++) {
    for (let x = 0; x < inWidth; x++) small.data[y * inWidth + x] = Math.min(1, Math.max(0, alpha[offset + y * side + x]));
  }
  let full = small;
  if (inWidth < width || inHeight < height) full = guided(small, opaque);
  else if (inWidth !== width || inHeight !== height) full = shrink(small, width, height, false);
  const result = new Uint8ClampedArray(4 * width * height);
  for (let i = 0; i < width * height; i++) {
    let level = roundEven(full.data[i] * 255);
    if (level <= INVISIBLE_TO) level = 0;
    else if (level >= OPAQUE_FROM) level = 255;
    const at = 4 * i;
    if (frame[at + 3] <= level) { // no more transparent than before: keep the pixel
      if (frame[at + 3]) for (let c = 0; c < 4; c++) result[at + c] = frame[at + c];
      continue;
    }
    if (!level) continue;
    const share = level / 255;
    for (let c = 0; c < 3; c++) {
      const shown = opaque.data[3 * i + c];
      result[at + c] = level === 255 ? shown : roundEven((shown - color[c]) / share + color[c]);
    }
    result[at + 3] = level;
  }
  return result;
}

/** More or less of half-transparent pixels; 0.5 changes nothing. */
export function withStrength(frame, strength) {
  if (strength === 0.5) return;
  const curve = Uint8Array.from({ length: 256 }, (_, level) => roundEven(255 * (level / 255) ** (4 ** (2 * strength - 1))));
  for (let at = 0; at < frame.length; at += 4) {
    frame[at + 3] = curve[frame[at + 3]];
    if (!frame[at + 3]) frame.fill(0, at, at + 4);
  }
}

/** Alpha at the size of the picture: in each neighborhood a linear function of color (fast guided filter). */
function guided(alpha, picture) {
  const { width, height } = alpha;
  const [size, smoothness] = [width * height, 1e-4];
  const guide = { ...picture, data: Float32Array.from(picture.data, (value) => value / 255) };
  const small = shrink(guide, width, height, false).data;
  const plane = (value) => blurred(Float64Array.from({ length: size }, (_, i) => value(i)), width, height);
  const color = [0, 1, 2].map((c) => plane((i) => small[3 * i + c]));
  const opacity = plane((i) => alpha.data[i]);
  const both = [0, 1, 2].map((c) => plane((i) => small[3 * i + c] * alpha.data[i]));
  const pairs = [[0, 0], [1, 1], [2, 2], [0, 1], [0, 2], [1, 2]];
  const moments = pairs.map(([c, d]) => plane((i) => small[3 * i + c] * small[3 * i + d]));
  const slope = [0, 1, 2].map(() => new Float64Array(size));
  const offset = new Float64Array(size);
  for (let i = 0; i < size; i++) {
    const [rr, gg, bb, rg, rb, gb] = pairs.map(([c, d], k) => moments[k][i] - color[c][i] * color[d][i] + (k < 3 ? smoothness : 0));
    const covariance = both.map((one, c) => one[i] - color[c][i] * opacity[i]);
    const rows = [[gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg],
      [rb * gb - rg * bb, rr * bb - rb * rb, rg * rb - rr * gb], [rg * gb - rb * gg, rg * rb - rr * gb, rr * gg - rg * rg]];
    const determinant = rr * rows[0][0] + rg * rows[0][1] + rb * rows[0][2];
    offset[i] = opacity[i];
    for (let c = 0; c < 3; c++) {
      slope[c][i] = (rows[c][0] * covariance[0] + rows[c][1] * covariance[1] + rows[c][2] * covariance[2]) / determinant;
      offset[i] -= slope[c][i] * color[c][i];
    }
  }
  const planes = [...slope, offset].map((one) => blurred(one, width, height));
  planes.push(extreme(alpha, Math.min), extreme(alpha, Math.max));
  const together = new Float32Array(6 * size);
  for (let i = 0; i < size; i++) for (let k = 0; k < 6; k++) together[6 * i + k] = planes[k][i];
  const large = enlarge({ data: together, width, height, channels: 6 }, picture.width, picture.height, false).data;
  const result = new Float32Array(picture.width * picture.height);
  for (let i = 0; i < result.length; i++) {
    const [r, g, b, constant, least, most] = large.subarray(6 * i, 6 * i + 6);
    const value = r * guide.data[3 * i] + g * guide.data[3 * i + 1] + b * guide.data[3 * i + 2] + constant;
    result[i] = Math.min(most, Math.max(least, value));
  }
  return { data: result, width: picture.width, height: picture.height, channels: 1 };
}

/** Sums over the 3 x 3 pixels around each, with the edges repeated, through `join`. */
function around(data, width, height, join) {
  const rows = new Float64Array(width * height);
  const result = new Float64Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      rows[at] = join(data[at], data[x ? at - 1 : at], data[x < width - 1 ? at + 1 : at]);
    }
  }
  for (let at = 0; at < rows.length; at++) {
    const up = at >= width ? at - width : at;
    const down = at + width < rows.length ? at + width : at;
    result[at] = join(rows[at], rows[up], rows[down]);
  }
  return result;
}

const blurred = (data, width, height) => around(data, width, height, (a, b, c) => a + b + c).map((sum) => sum / 9);
const extreme = (alpha, join) => around(alpha.data, alpha.width, alpha.height, join);
