// Resizing as OpenCV does it, so that the network sees in the browser what it sees in Python, to the last bit where a
// threshold follows. Pictures are flat arrays, row by row: { data, width, height, channels }.

/** Round half to even, as numpy and OpenCV do. */
export function roundEven(x) {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return Math.round(x);
  return floor % 2 ? floor + 1 : floor;
}

/** For each target pixel of an axis: the source pixels it covers and their shares. */
function covered(from, to) {
  const scale = from / to;
  return Array.from({ length: to }, (_, place) => {
    const [start, end] = [place * scale, place * scale + scale];
    const cell = Math.min(scale, from - start);
    const last = Math.min(Math.floor(end), from - 1);
    const first = Math.min(Math.ceil(start), last);
    const parts = [];
    if (first - start > 1e-3) parts.push([first - 1, (first - start) / cell]);
    for (let x = first; x < last; x++) parts.push([x, 1 / cell]);
    if (end - last > 1e-3) parts.push([last, Math.min(Math.min(end - last, 1), cell) / cell]);
    return parts;
  });
}

/** The mean over the area of each target pixel (INTER_AREA); `rounded` for 8-bit colors. */
export function shrink(picture, width, height, rounded) {
  const { data, channels } = picture;
  const [across, down] = [covered(picture.width, width), covered(picture.height, height)];
  const wide = new Float32Array(picture.height * width * channels);
  for (let y = 0; y < picture.height; y++) {
    for (let x = 0; x < width; x++) {
      const target = (y * width + x) * channels;
      for (const [from, share] of across[x]) {
        const source = (y * picture.width + from) * channels;
        for (let c = 0; c < channels; c++) wide[target + c] += data[source + c] * share;
      }
    }
  }
  const result = new Float32Array(height * width * channels);
  const row = width * channels;
  for (let y = 0; y < height; y++) {
    for (const [from, share] of down[y]) {
      for (let i = 0; i < row; i++) result[y * row + i] += wide[from * row + i] * share;
    }
  }
  if (rounded) {
    // sums of thirds and the like are a little off: a half would fall to the wrong side
    for (let i = 0; i < result.length; i++) result[i] = roundEven(Math.round(result[i] * 4096) / 4096);
    const [byX, byY] = [picture.width / width, picture.height / height];
    if (byX === 2 && byY === 2) halve(picture, result, width, height);
  }
  return { data: result, width, height, channels };
}

/** Exactly a half: OpenCV rounds halves up there. */
function halve(picture, result, width, height) {
  const { data, channels } = picture;
  const row = picture.width * channels;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < channels; c++) {
        const at = 2 * y * row + 2 * x * channels + c;
        result[(y * width + x) * channels + c] = (data[at] + data[at + channels] + data[at + row] + data[at + row + channels] + 2) >> 2;
      }
    }
  }
}

/** For each target pixel of an axis: the pixel before it and the share of the one after. */
function between(from, to) {
  const places = new Int32Array(to);
  const shares = new Float32Array(to);
  for (let i = 0; i < to; i++) {
    const place = Math.fround((i + 0.5) * (from / to) - 0.5);
    places[i] = Math.floor(place);
    shares[i] = place - places[i];
    if (places[i] < 0) [places[i], shares[i]] = [0, 0];
    if (places[i] >= from - 1) [places[i], shares[i]] = [from - 1, 0];
  }
  return { places, shares };
}

/** Bilinear enlarging (INTER_LINEAR); `rounded` for 8-bit colors, with OpenCV's 11-bit shares. */
export function enlarge(picture, width, height, rounded) {
  const { data, channels } = picture;
  const [across, down] = [between(picture.width, width), between(picture.height, height)];
  const result = new Float32Array(height * width * channels);
  const [row, target] = [picture.width * channels, width * channels];
  const part = (share) => roundEven(share * 2048);
  for (let y = 0; y < height; y++) {
    const above = down.places[y] * row;
    const below = Math.min(down.places[y] + 1, picture.height - 1) * row;
    const v = down.shares[y];
    for (let x = 0; x < width; x++) {
      const left = across.places[x] * channels;
      const right = Math.min(across.places[x] + 1, picture.width - 1) * channels;
      const u = across.shares[x];
      for (let c = 0; c < channels; c++) {
        let value;
        if (rounded) {
          const [near, far] = [part(1 - u), part(u)];
          const first = data[above + left + c] * near + data[above + right + c] * far;
          const second = data[below + left + c] * near + data[below + right + c] * far;
          value = ((((part(1 - v) * (first >> 4)) >> 16) + ((part(v) * (second >> 4)) >> 16) + 2) >> 2);
        } else {
          const first = data[above + left + c] * (1 - u) + data[above + right + c] * u;
          const second = data[below + left + c] * (1 - u) + data[below + right + c] * u;
          value = first * (1 - v) + second * v;
        }
        result[y * target + x * channels + c] = value;
      }
    }
  }
  return { data: result, width, height, channels };
}

/** The inner size for a network that sees `side` pixels: its longer side is that. */
export function innerSize(width, height, side) {
  const scale = side / Math.max(width, height);
  return [Math.max(1, roundEven(width * scale)), Math.max(1, roundEven(height * scale))];
}
