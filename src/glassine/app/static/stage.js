// The stage of the page "Cut out": original and result in step, with a slider between them; picking a color, painting.

import { $ } from "./dom.js";

const COLORS = { keep: "rgb(40 190 90 / 60%)", remove: "rgb(230 50 40 / 60%)" };

export class Stage {
  constructor() {
    this.canvas = $("stage-canvas");
    this.context = this.canvas.getContext("2d");
    this.original = this.result = null;
    this.room = 0;
    this.size = [1, 1]; // of the original in its own pixels
    this.split = 0.5;
    this.time = 0;
    this.playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.mode = "compare"; // or pick, keep, remove
    this.brush = 0.06;
    this.strokes = [];
    this.stroke = null;
    this.pointer = null;
    this.subject = this.box0 = null; // where the sticker is: x, y or left, top, right, bottom as shares
    this.onSubject = this.onPick = this.onStroke = this.onSplit = this.onFrame = () => {};
    this.last = performance.now();
    this.canvas.addEventListener("pointerdown", (event) => this.down(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) this.canvas.addEventListener(name, () => this.up());
    this.canvas.addEventListener("pointerleave", () => { this.pointer = null; });
    requestAnimationFrame((now) => this.tick(now));
  }

  /** Show films; `room` is what the result has more on each side, in pixels of the original. */
  show(original, size, result = null, room = 0) {
    const other = original !== this.original;
    Object.assign(this, { original, size, result, room });
    if (other) this.time = 0;
  }

  get film() { return this.original || this.result; }
  get frame() { return this.film ? this.film.at(this.time) : 0; }

  seek(frame) {
    if (!this.film) return;
    this.time = this.film.durations.slice(0, frame).reduce((sum, one) => sum + one, 0);
  }

  setMode(mode) {
    this.mode = mode;
    $("stage").classList.toggle("picking", mode === "pick" || mode === "subject");
    $("stage").classList.toggle("painting", mode === "keep" || mode === "remove");
    if (mode === "keep" || mode === "remove") this.playing = false;
  }

  /** Where the original lies on the canvas, in its pixels: x, y, scale. */
  box() {
    const [width, height] = [this.size[0] + 2 * this.room, this.size[1] + 2 * this.room];
    const margin = 0.94;
    const scale = Math.min((this.canvas.width * margin) / width, (this.canvas.height * margin) / height);
    const x = (this.canvas.width - width * scale) / 2;
    const y = (this.canvas.height - height * scale) / 2;
    return { x, y, scale, width: width * scale, height: height * scale };
  }

  tick(now) {
    if (this.playing && this.film) this.time = (this.time + now - this.last) % this.film.total;
    this.last = now;
    if (this.canvas.offsetParent !== null) this.draw();
    requestAnimationFrame((later) => this.tick(later));
  }

  draw() {
    const ratio = devicePixelRatio || 1;
    const [wide, high] = [Math.round(this.canvas.clientWidth * ratio), Math.round(this.canvas.clientHeight * ratio)];
    const state = [wide, high, this.frame, this.split, this.original?.image.src, this.result?.image.src, this.room, this.mode,
      this.mode === "compare" ? null : this.pointer, this.subject, this.brush, this.strokes.length, this.stroke?.points.length].join();
    if (state === this.drawn) return; // a still picture costs nothing
    this.drawn = state;
    if (this.canvas.width !== wide || this.canvas.height !== high) [this.canvas.width, this.canvas.height] = [wide, high];
    const context = this.context;
    context.clearRect(0, 0, wide, high);
    if (!this.film) return;
    const { x, y, scale, width, height } = this.box();
    const border = this.room * scale;
    const frame = this.frame;
    const cut = Math.round(this.result ? x + width * this.split : wide);
    context.imageSmoothingQuality = "high";
    if (this.original) {
      context.save();
      context.beginPath();
      context.rect(0, 0, cut, high);
      context.clip();
      this.original.draw(context, frame, x + border, y + border, width - 2 * border, height - 2 * border);
      context.restore();
    }
    if (this.result) {
      context.save();
      context.beginPath();
      context.rect(cut, 0, wide - cut, high);
      context.clip();
      this.result.draw(context, frame, x, y, width, height);
      context.restore();
      this.drawSlider(cut, high, ratio);
    }
    this.drawStrokes(frame, x + border, y + border, scale);
    this.drawSubject(x + border, y + border, scale);
    this.onFrame(frame);
  }

  drawSlider(cut, high, ratio) {
    const context = this.context;
    context.fillStyle = "rgb(10 30 26 / 75%)";
    context.fillRect(cut - 2 * ratio, 0, 4 * ratio, high);
    context.fillStyle = "#fff";
    context.fillRect(cut - ratio, 0, 2 * ratio, high);
    context.beginPath();
    context.arc(cut, high / 2, 15 * ratio, 0, 7);
    context.fill();
    context.strokeStyle = "rgb(10 30 26 / 75%)";
    context.lineWidth = 2 * ratio;
    context.stroke();
    context.beginPath();
    for (const side of [-1, 1]) {
      context.moveTo(cut + side * 4 * ratio, high / 2 - 5 * ratio);
      context.lineTo(cut + side * 9 * ratio, high / 2);
      context.lineTo(cut + side * 4 * ratio, high / 2 + 5 * ratio);
    }
    context.stroke();
  }

  drawStrokes(frame, x, y, scale) {
    const context = this.context;
    const longer = Math.max(...this.size) * scale;
    const number = this.film.numbers[frame];
    for (const stroke of [...this.strokes, ...(this.stroke ? [this.stroke] : [])]) {
      if (stroke.frame !== number) continue;
      context.strokeStyle = COLORS[stroke.mode];
      context.lineCap = context.lineJoin = "round";
      context.lineWidth = 2 * stroke.radius * longer;
      context.beginPath();
      stroke.points.forEach(([px, py], index) => {
        const place = [x + px * this.size[0] * scale, y + py * this.size[1] * scale];
        if (index) context.lineTo(...place);
        else { context.moveTo(...place); context.lineTo(place[0] + 0.01, place[1]); }
      });
      context.stroke();
    }
    if (this.pointer && (this.mode === "keep" || this.mode === "remove")) {
      context.strokeStyle = COLORS[this.mode];
      context.lineWidth = 3;
      context.beginPath();
      context.arc(...this.pointer, this.brush * longer, 0, 7);
      context.stroke();
    }
  }

  drawSubject(x, y, scale) {
    if (!this.subject) return;
    const context = this.context;
    const [wide, high] = [this.size[0] * scale, this.size[1] * scale];
    const [left, top, right = left, bottom = top] = this.subject;
    context.strokeStyle = "#ff9f0a";
    context.lineWidth = 3;
    context.beginPath();
    if (this.subject.length === 2) context.arc(x + left * wide, y + top * high, 8, 0, 7);
    else context.rect(x + left * wide, y + top * high, (right - left) * wide, (bottom - top) * high);
    context.stroke();
  }

  /** From where the pointer went down to where it is: a box, or a point where it hardly moved. */
  marked([x, y]) {
    const inside = (value) => Math.min(1, Math.max(0, value));
    const [first, second] = [this.box0.map(inside), [inside(x), inside(y)]];
    if (Math.abs(first[0] - second[0]) < 0.02 || Math.abs(first[1] - second[1]) < 0.02) return first;
    return [0, 1].map((axis) => Math.min(first[axis], second[axis])).concat([0, 1].map((axis) => Math.max(first[axis], second[axis])));
  }

  /** Shares of the original's width and height under the pointer. */
  place(event) {
    const bounds = this.canvas.getBoundingClientRect();
    const ratio = this.canvas.width / bounds.width;
    this.pointer = [(event.clientX - bounds.left) * ratio, (event.clientY - bounds.top) * ratio];
    const { x, y, scale } = this.box();
    const round = (value) => Math.min(2, Math.max(-1, Math.round(1e4 * value) / 1e4));
    return [
      round((this.pointer[0] - x - this.room * scale) / (this.size[0] * scale)),
      round((this.pointer[1] - y - this.room * scale) / (this.size[1] * scale)),
    ];
  }

  down(event) {
    if (!this.film) return;
    this.canvas.setPointerCapture?.(event.pointerId);
    const place = this.place(event);
    if (this.mode === "pick") {
      this.onPick(this.color(place));
    } else if (this.mode === "subject") {
      this.box0 = place;
      this.subject = this.marked(place);
    } else if (this.mode === "compare") {
      this.dragging = true;
      this.slide();
    } else {
      const frame = this.film.numbers[this.frame];
      this.stroke = { frame, mode: this.mode, radius: this.brush, points: [place] };
    }
  }

  move(event) {
    const place = this.place(event);
    if (this.stroke) this.stroke.points.push(place);
    else if (this.box0) this.subject = this.marked(place);
    else if (this.dragging) this.slide();
  }

  up() {
    this.dragging = false;
    if (this.box0) {
      this.box0 = null;
      this.onSubject(this.subject);
    }
    if (!this.stroke) return;
    this.strokes.push(this.stroke);
    this.stroke = null;
    this.onStroke();
  }

  slide() {
    const { x, width } = this.box();
    this.split = Math.min(1, Math.max(0, (this.pointer[0] - x) / width));
    this.onSplit(this.split);
  }

  /** The original's color there, `#rrggbb`. */
  color([px, py]) {
    const film = this.original;
    const probe = document.createElement("canvas");
    probe.width = film.width;
    probe.height = film.height;
    const context = probe.getContext("2d", { willReadFrequently: true });
    film.draw(context, this.frame, 0, 0, film.width, film.height);
    const inside = (share, side) => Math.min(side - 1, Math.max(0, Math.floor(share * side)));
    const pixel = context.getImageData(inside(px, film.width), inside(py, film.height), 1, 1).data;
    return `#${[...pixel.slice(0, 3)].map((part) => part.toString(16).padStart(2, "0")).join("")}`;
  }
}
