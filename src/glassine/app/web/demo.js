// The page: files in, a worker that cuts them out one after the other, result beside the original.

import { $, h, press, say, showValues } from "./dom.js";
import { Stage } from "./stage.js";

const TYPES = { gif: "image/gif", webp: "image/webp", png: "image/png", apng: "image/png", avif: "image/avif", jpg: "image/jpeg", jpeg: "image/jpeg" };
const BACKDROPS = [["Checkerboard", ""], ["White", "#ffffff"], ["Black", "#000000"], ["Light chat", "#efeae2"],
  ["Dark chat", "#111b21"], ["Green", "#31c46c"]];
const SHOWN = 640; // longer side of a frame as it is kept for the stage
const stage = new Stage();
const items = []; // {name, file, type, state, bad, done, total, films, url, blob, settings}
let current = null;
let working = null;
let worker = null;

/** The frames of a sticker as they arrive. */
class Film {
  constructor(about, name) {
    Object.assign(this, about);
    this.numbers = this.durations.map((_, index) => index);
    this.total = this.durations.reduce((sum, one) => sum + one, 0);
    this.pictures = [];
    this.name = name;
  }

  get image() { return { src: `${this.name}/${this.pictures.filter(Boolean).length}` }; }

  at(time) {
    let rest = time % this.total;
    const found = this.durations.findIndex((one) => (rest -= one) < 0);
    return found < 0 ? this.durations.length - 1 : found;
  }

  draw(context, frame, x, y, width, height) {
    const picture = this.pictures[frame];
    if (picture) context.drawImage(picture, x, y, width, height);
  }
}

function settings() {
  const color = document.querySelector("input[name=background]:checked").value === "color";
  const rgb = $("color").value.match(/[0-9a-f]{2}/g).map((part) => parseInt(part, 16));
  return { background: color ? rgb : null, strength: $("strength").value / 100, format: $("format").value,
    gpu: $("gpu").checked, threads: Number(new URLSearchParams(location.search).get("threads")) || 0 };
}

function take(files) {
  for (const file of files) {
    const type = TYPES[file.name.split(".").pop().toLowerCase()] || file.type;
    items.push({ name: file.name, file, type, state: "waiting", settings: settings() });
  }
  select(items[items.length - files.length]);
  next();
}

function again() {
  if (!current) return;
  if (working === current) { // cancel: the worker cannot be told while it computes
    worker.terminate();
    worker = working = null;
    current.state = "canceled";
  } else if (current.state !== "waiting") {
    Object.assign(current, { state: "waiting", bad: false, settings: settings() });
  }
  show();
  next();
}

async function next() {
  if (working) return;
  const item = items.find((one) => one.state === "waiting");
  if (!item) return;
  working = item;
  try {
    if (!worker) {
      worker = new Worker("./worker.js", { type: "module" });
      worker.addEventListener("message", ({ data }) => heard(data));
      worker.addEventListener("error", (event) => heard({ kind: "error", text: event.message || "the worker could not be started" }));
    }
    Object.assign(item, { state: "reading", started: performance.now() });
    const bytes = await item.file.arrayBuffer();
    if (working === item) worker.postMessage({ bytes, type: item.type, settings: item.settings }, [bytes]);
  } catch (error) {
    heard({ kind: "error", text: error.message });
  }
  show();
}

async function heard(message) {
  const item = working;
  if (!item) return;
  if (message.kind === "network") $("where").textContent = message.where;
  else if (message.kind === "progress") Object.assign(item, { state: message.what, done: message.done, total: message.total });
  else if (message.kind === "film") {
    item.films = { original: new Film(message, `${item.name} original ${Date.now()}`), result: new Film(message, `${item.name} result ${Date.now()}`) };
    item.color = message.color;
    item.note = message.note || "";
  } else if (message.kind === "frame") {
    const { width, height } = message;
    const scale = Math.min(1, SHOWN / Math.max(width, height));
    const how = { resizeWidth: Math.max(1, Math.round(width * scale)), resizeHeight: Math.max(1, Math.round(height * scale)), resizeQuality: "high" };
    const { films } = item;
    const picture = await createImageBitmap(new ImageData(message.data, width, height), scale < 1 ? how : {});
    films[message.of].pictures[message.index] = picture;
  } else if (message.kind === "done") {
    if (item.url) URL.revokeObjectURL(item.url);
    Object.assign(item, { state: "done", blob: message.blob, url: URL.createObjectURL(message.blob), report: message });
    if (message.clear) item.note = "Everything was taken for background: pick its color in the picture.";
    if (message.whole) item.note = "Nothing was removed: pick the background's color in the picture.";
    working = null;
  } else {
    Object.assign(item, { state: unreadable(message.text) ? `${item.name} cannot be read: is it a picture?` : message.text, bad: true });
    working = null;
  }
  show();
  if (!working) next();
}

const unreadable = (text) => /decode|could not be|source image|unsupported|Failed to/i.test(text);

function told(item) {
  if (item.state !== "done") return item.total > 1 && !item.bad && item === working ? `${item.state} ${item.done} of ${item.total}` : item.state;
  const { frames, seconds, networkSeconds } = item.report;
  return `${frames} frame${frames > 1 ? "s" : ""} in ${seconds.toFixed(1)} s, network ${Math.round((1000 * networkSeconds) / frames)} ms a frame`;
}

function show() {
  $("empty").hidden = items.length > 0;
  $("work").hidden = !items.length;
  if (!current) return;
  const item = current;
  const text = told(item);
  if ($("state").textContent !== text) $("state").textContent = text;
  $("state").classList.toggle("bad", Boolean(item.bad));
  $("progress").hidden = item !== working;
  [$("progress").max, $("progress").value] = [item.total || 1, item.done || 0];
  $("run").textContent = item === working ? "Cancel" : item.dirty ? "Cut out with these settings" : "Cut out again";
  $("run").classList.toggle("strong", Boolean(item.dirty && item !== working));
  $("download").hidden = item.state !== "done";
  if (item.state === "done") {
    $("download").href = item.url;
    $("download").download = `${item.name.replace(/\.[^.]*$/, "")}.${item.report.blob.type === "image/webp" ? "webp" : "png"}`;
    $("download").textContent = `Download ${item.report.blob.type === "image/webp" ? "WebP" : "APNG"}, ${Math.max(1, Math.round(item.blob.size / 1000))} KB`;
  }
  $("note").hidden = !item.note;
  $("note").textContent = item.note || "";
  const { original = null, result = null } = item.films || {};
  stage.show(original, original ? [original.width, original.height] : [1, 1], result, 0);
  press($("pick"), stage.mode === "pick");
  const rows = items.map((one) => h("li", {}, h("button", { type: "button", class: one.bad ? "file bad" : "file",
    "aria-current": one === current ? "true" : null, onclick: () => select(one) },
    h("span", {}, h("span", { class: "name" }, one.name), h("span", { class: "what" }, told(one))))));
  const shown = rows.map((row) => row.outerHTML).join();
  if (shown === $("files").dataset.shown) return;
  $("files").dataset.shown = shown;
  $("files").replaceChildren(...rows);
}

function select(item) {
  current = item;
  stage.setMode("compare");
  show();
}

function changed() {
  if (!current) return;
  current.dirty = true;
  show();
}

function playing() {
  $("play").classList.toggle("paused", !stage.playing);
  $("play").setAttribute("aria-label", stage.playing ? "Pause" : "Play");
}

showValues($("settings"), { strength: (value) => (value === 50 ? "as found" : `${value} %`) });
$("settings").addEventListener("change", changed);
$("color").addEventListener("input", () => { document.querySelector("input[value=color]").checked = true; });
$("settings").addEventListener("submit", (event) => {
  event.preventDefault();
  if (current) current.dirty = false;
  again();
});
$("gpu").addEventListener("change", () => { // the network is loaded anew, there
  if (working) return;
  worker?.terminate();
  worker = null;
});
$("pick").addEventListener("click", () => {
  stage.setMode(stage.mode === "pick" ? "compare" : "pick");
  if (stage.mode === "pick") say("Click the background in the picture.");
  show();
});
stage.onPick = (color) => {
  $("color").value = color;
  document.querySelector("input[value=color]").checked = true;
  stage.setMode("compare");
  if (current !== working) again();
};
stage.onSplit = (share) => { $("compare").value = 100 * share; };
$("compare").addEventListener("input", () => { stage.split = $("compare").value / 100; });
$("play").addEventListener("click", () => { stage.playing = !stage.playing; playing(); });
playing();
const swatches = BACKDROPS.map(([name, color], index) => {
  const button = h("button", { type: "button", class: color ? "swatch" : "swatch checker", "aria-label": name, title: name, "aria-pressed": String(!index) });
  if (color) button.style.background = color;
  button.addEventListener("click", () => {
    $("stage").classList.toggle("checker", !color);
    $("stage").style.background = color;
    for (const one of swatches) press(one, one === button);
  });
  return button;
});
$("backdrops").replaceChildren(...swatches);

addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dragging"); });
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  if (event.dataTransfer?.files.length) take([...event.dataTransfer.files]);
});
addEventListener("paste", (event) => { if (event.clipboardData?.files.length) take([...event.clipboardData.files]); });
for (const button of document.querySelectorAll("[data-choose]")) button.addEventListener("click", () => $("chooser").click());
$("chooser").addEventListener("change", () => {
  const files = [...$("chooser").files];
  $("chooser").value = "";
  if (files.length) take(files);
});
$("example").addEventListener("click", async () => {
  const reply = await fetch("./example.gif").catch(() => null);
  if (reply?.ok) take([new File([await reply.blob()], "example.gif", { type: "image/gif" })]);
  else say("The example could not be loaded.", true);
});
navigator.gpu?.requestAdapter().then((adapter) => { $("gpu-row").hidden = !adapter; }).catch(() => {});
fetch("./network/about.json").then((reply) => reply.json()).then((about) => { $("megabytes").textContent = about.megabytes; }).catch(() => {});
