// Films: small frames of a sticker side by side in one picture (see film.py).

const loading = new Map();

export class Film {
  constructor(about, image) {
    Object.assign(this, about);
    this.image = image;
    this.total = this.durations.reduce((sum, one) => sum + one, 0);
  }

  /** Number of the frame that is shown at a moment in ms. */
  at(time) {
    let rest = time % this.total;
    for (let frame = 0; frame < this.durations.length; frame++) {
      rest -= this.durations[frame];
      if (rest < 0) return frame;
    }
    return this.durations.length - 1;
  }

  draw(context, frame, x, y, width, height) {
    const place = Math.min(frame, this.durations.length - 1);
    const left = (place % this.columns) * this.width;
    const top = Math.floor(place / this.columns) * this.height;
    context.drawImage(this.image, left, top, this.width, this.height, x, y, width, height);
  }
}

/** The film at an address; loaded once. */
export function load(url, about) {
  if (!loading.has(url)) {
    if (loading.size > 60) loading.delete(loading.keys().next().value);
    loading.set(url, (async () => {
      const image = new Image();
      image.src = url;
      await image.decode();
      return new Film(about, image);
    })());
    loading.get(url).catch(() => loading.delete(url));
  }
  return loading.get(url);
}

/** The middle frame as a little picture. */
export function thumb(url, about, side = 104) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  canvas.className = "checker";
  canvas.setAttribute("aria-hidden", "true");
  load(url, about).then((film) => {
    const scale = Math.min(side / film.width, side / film.height);
    const [width, height] = [film.width * scale, film.height * scale];
    film.draw(canvas.getContext("2d"), film.durations.length >> 1, (side - width) / 2, (side - height) / 2, width, height);
  }).catch(() => {});
  return canvas;
}
