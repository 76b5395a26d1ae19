// The page "Cut out": files in, cut-outs beside them, settings for each file.

import { ask, postForm, upload } from "./api.js";
import { $, h, press, say, showValues, wrong } from "./dom.js";
import { load, thumb } from "./film.js";
import * as jobs from "./jobs.js";
import { Stage } from "./stage.js";
import * as animate from "./animate.js";
import * as tray from "./tray.js";

const DEFAULTS = { background: "auto", strength: 0.5, outline: 0, outline_color: "#ffffff", shadow: 0, format: "webp",
  method: "auto", opacity: "auto", force: false, subject: "" };
const BACKDROPS = [["Checkerboard", ""], ["White", "#ffffff"], ["Black", "#000000"], ["Light chat", "#efeae2"],
  ["Dark chat", "#111b21"], ["Green", "#31c46c"]];
const stage = new Stage();
const items = []; // {key, name, upload, job, settings, strokes, overTime, sent, error}
const hidden = new Set(); // uploads whose jobs are being removed
let current = null;
let listed = "";

/** Take files that were dropped or chosen. */
export function take(files) {
  const added = files.map((file) => ({ key: crypto.randomUUID?.() || `${Math.random()}`, name: file.name, file,
    settings: { ...DEFAULTS }, strokes: [], overTime: true, sent: 0 }));
  items.unshift(...added);
  select(added[0]);
  sendAll(added);
}

/** One upload after the other: a folder of files is never in memory at once. */
async function sendAll(added) {
  for (const item of added) if (items.includes(item)) await send(item);
}

async function send(item) {
  item.error = null;
  try {
    item.upload = await upload(item.file, (share) => { item.sent = share; list(); });
    item.name = item.upload.name;
    item.file = null;
    await run(item);
  } catch (error) {
    item.error = error.message;
    list();
    show();
  }
}

async function run(item) {
  const fields = { source: item.upload.id, ...item.settings, over_time: item.overTime };
  if (item.strokes.length) fields.strokes = JSON.stringify(item.strokes);
  const before = item.job;
  item.error = null;
  try {
    item.job = await postForm("/v1/cutout?wait=0", fields);
    item.dirty = false;
    item.previous = before && before.state === "done" ? before : item.previous;
    if (before && !jobs.isOver(before)) await jobs.cancel(before);
  } catch (error) {
    item.error = [error.message, ...error.problems].join("; ");
  }
  list();
  show();
  jobs.refresh();
}

/** Bring the items up to date, and find those of other tabs and of before a reload. */
async function update(found) {
  const known = new Map(items.filter((item) => item.upload).map((item) => [item.upload.id, item]));
  const seen = new Set();
  for (const job of found) {
    if (job.kind !== "cutout" || hidden.has(job.settings.source)) continue;
    const item = known.get(job.settings.source);
    if (item && item.job && job.id === item.job.id) item.job = job;
    else if (item && (!item.job || job.created > item.job.created)) item.job = job;
    else if (item && job.state === "done" && job.id !== item.job.id && !item.previous) item.previous = job;
    if (item || seen.has(job.settings.source)) continue;
    seen.add(job.settings.source);
    restore(job);
  }
  const ids = new Set(found.map((job) => job.id));
  for (const item of [...items]) { // removed in another tab, or too old
    if (item.job && jobs.isOver(item.job) && !ids.has(item.job.id)) drop(item);
  }
  list();
  show();
}

async function restore(job) {
  try {
    const [known, whole] = await Promise.all([ask(`/v1/files/${job.settings.source}`), ask(`/v1/jobs/${job.id}`)]);
    if (items.some((item) => item.upload?.id === known.id)) return;
    const settings = Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, whole.settings[name]]));
    const item = { key: known.id, name: known.name, upload: known, job, settings, strokes: whole.settings.strokes || [],
      overTime: whole.settings.over_time, sent: 1 };
    items.push(item);
    items.sort((one, other) => (other.job?.created ?? Infinity) - (one.job?.created ?? Infinity));
    if (!current || sessionStorage.getItem("glassine/current") === item.upload.id) select(item);
    list();
  } catch { /* the upload was cleaned away: its results are in the folder */ }
}

function drop(item) {
  items.splice(items.indexOf(item), 1);
  if (current === item) select(items[0] || null);
}

async function close(item) {
  if (item.upload) hidden.add(item.upload.id);
  drop(item);
  list();
  for (const job of jobs.all().filter((one) => one.kind === "cutout" && one.settings.source === item.upload?.id)) {
    if (!jobs.isOver(job)) await jobs.cancel(job);
    else await jobs.remove(job);
  }
}

const shownJob = (item) => (item.job?.state === "done" ? item.job : item.previous || null);

function what(item) {
  if (item.error) return item.error;
  if (!item.upload) return item.sent < 1 ? `uploading ${Math.round(100 * item.sent)} %` : "reading";
  return item.job ? jobs.told(item.job) : "ready";
}

function list() {
  $("cutout-empty").hidden = items.length > 0;
  $("cutout-work").hidden = !items.length;
  const shown = JSON.stringify([items.indexOf(current), items.map((item) => [item.key, item.name, what(item), Boolean(item.upload), item.error, item.job?.state])]);
  if (shown === listed) return; // what has not changed stays, with its focus
  listed = shown;
  const rows = items.map((item) => {
    const key = `${item.upload?.id}`;
    if (item.pictureOf !== key) {
      item.pictureOf = key;
      item.picture = item.upload ? thumb(item.upload.film_url, item.upload.film) : h("span", { class: "blank checker" });
    }
    const bad = item.error || item.job?.state === "failed";
    const open = h("button", { type: "button", class: bad ? "file bad" : "file", "aria-current": item === current ? "true" : null,
      onclick: () => select(item) }, item.picture,
      h("span", {}, h("span", { class: "name" }, item.name), h("span", { class: "what" }, what(item))));
    const closing = h("button", { type: "button", class: "close", "aria-label": `Remove ${item.name}`, onclick: () => close(item) }, "✕");
    return h("li", {}, open, closing);
  });
  const buttons = [...$("cutout-files").querySelectorAll("button")];
  const focused = buttons.indexOf(document.activeElement);
  $("cutout-files").replaceChildren(...rows);
  if (focused >= 0) $("cutout-files").querySelectorAll("button")[focused]?.focus();
}

function select(item) {
  if (item !== current) stage.setMode("compare");
  current = item;
  if (item?.upload) sessionStorage.setItem("glassine/current", item.upload.id);
  list();
  if (!item) return;
  const { settings } = item;
  const auto = settings.background === "auto";
  for (const radio of document.querySelectorAll("input[name=background]")) radio.checked = (radio.value === "auto") === auto;
  if (!auto) $("background-color").value = settings.background;
  $("strength").value = 100 * settings.strength;
  $("outline").value = settings.outline;
  $("shadow").value = 100 * settings.shadow;
  $("outline-color").value = /^#[0-9a-f]{6}$/.test(settings.outline_color) ? settings.outline_color : "#ffffff";
  $("format").value = settings.format;
  for (const name of ["method", "opacity"]) $(name).value = settings[name] ?? DEFAULTS[name];
  $("force").checked = Boolean(settings.force);
  $("more").open = ["method", "opacity", "force", "subject"].some((name) => (settings[name] ?? DEFAULTS[name]) !== DEFAULTS[name]);
  $("over-time").checked = item.overTime;
  for (const range of ["strength", "outline", "shadow"]) $(range).dispatchEvent(new Event("input"));
  show();
}

async function show() {
  const item = current;
  if (!item) return;
  const job = shownJob(item);
  const state = $("cutout-state");
  const text = what(item);
  if (state.textContent !== text) state.textContent = text;
  state.classList.toggle("bad", Boolean(item.error || item.job?.state === "failed"));
  const running = item.job && !jobs.isOver(item.job);
  $("run").textContent = item.error && item.file ? "Try again" : running ? "Cancel" : item.dirty ? "Cut out with these settings" : "Cut out again";
  const fresh = item.job?.state === "done" && !item.dirty;
  $("run").classList.toggle("strong", !running && !fresh);
  $("download").classList.toggle("strong", Boolean(fresh));
  stage.strokes = item.strokes;
  $("brush-undo").disabled = !item.strokes.length;
  for (const mode of ["keep", "remove"]) press($(`brush-${mode}`), stage.mode === mode);
  press($("pick"), stage.mode === "pick");
  press($("mark"), stage.mode === "subject");
  stage.subject = item.settings.subject ? item.settings.subject.split(",").map(Number) : null;
  $("unmark").hidden = !item.settings.subject;
  const result = job?.results[0];
  for (const name of ["download", "to-pack", "to-animate"]) $(name).hidden = !result;
  $("for-all").hidden = items.length < 2;
  if (result) {
    $("download").href = `${result.url}?download=1`;
    $("download").textContent = `Download ${result.name.split(".").pop()}, ${Math.max(1, Math.round(result.bytes / 1000))} KB`;
  }
  const notes = [...(item.upload?.notes || []), ...(job?.notes || [])];
  $("stage-note").hidden = !notes.length;
  $("stage-note").textContent = notes.join(" ");
  try {
    const original = item.upload ? await load(item.upload.film_url, item.upload.film) : null;
    const cut = result ? await load(`/v1/jobs/${job.id}/film`, result.about.film) : null;
    if (item !== current) return;
    const size = item.upload ? [item.upload.width, item.upload.height] : [1, 1];
    stage.show(original, size, cut, cut ? result.about.room : 0);
    $("frame").max = Math.max(0, (item.upload?.film.numbers.length || 1) - 1);
  } catch { /* it was removed in another tab */ }
}

function changed() {
  if (!current) return;
  const color = document.querySelector("input[name=background]:checked").value === "color";
  current.settings = {
    background: color ? $("background-color").value : "auto",
    strength: $("strength").value / 100,
    outline: Number($("outline").value),
    outline_color: $("outline-color").value,
    shadow: $("shadow").value / 100,
    format: $("format").value,
    method: $("method").value,
    opacity: $("opacity").value,
    force: $("force").checked,
    subject: current.settings.subject || "",
  };
  current.overTime = $("over-time").checked;
  current.dirty = true;
  show();
}

function setMode(mode) {
  stage.setMode(stage.mode === mode ? "compare" : mode);
  if (stage.mode === "pick") say("Click the background in the picture.");
  if (stage.mode === "subject") say("Drag a box around the sticker, or click on it.");
  playing();
  show();
}

function playing() {
  $("play").classList.toggle("paused", !stage.playing);
  $("play").setAttribute("aria-label", stage.playing ? "Pause" : "Play");
}

export function start() {
  const form = $("cutout-settings");
  showValues(form, {
    strength: (value) => (value === 50 ? "as found" : `${value} %`),
    outline: (value) => (value ? `${value} px` : "none"),
    shadow: (value) => (value ? `${value} %` : "none"),
  });
  form.addEventListener("change", (event) => { if (event.target.id !== "brush-size") changed(); });
  $("background-color").addEventListener("input", () => { form.querySelector("input[value=color]").checked = true; });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!current) return;
    if (current.error && current.file) send(current);
    else if (current.job && !jobs.isOver(current.job)) jobs.cancel(current.job);
    else if (current.upload) run(current);
  });
  $("pick").addEventListener("click", () => setMode("pick"));
  $("mark").addEventListener("click", () => setMode("subject"));
  $("unmark").addEventListener("click", () => { current.settings.subject = ""; changed(); });
  stage.onSubject = (places) => {
    current.settings.subject = places.join(",");
    stage.setMode("compare");
    changed();
    if (!current.job || jobs.isOver(current.job)) run(current);
  };
  $("brush-keep").addEventListener("click", () => setMode("keep"));
  $("brush-remove").addEventListener("click", () => setMode("remove"));
  $("brush-size").addEventListener("input", () => { stage.brush = $("brush-size").value / 100; });
  $("brush-undo").addEventListener("click", () => { current.strokes.pop(); current.dirty = true; show(); });
  stage.onStroke = () => { current.dirty = true; show(); };
  stage.onPick = (color) => {
    $("background-color").value = color;
    form.querySelector("input[value=color]").checked = true;
    stage.setMode("compare");
    changed();
    if (!current.job || jobs.isOver(current.job)) run(current);
  };
  stage.onSplit = (share) => { $("compare").value = 100 * share; };
  stage.onFrame = (frame) => {
    if (Number($("frame").value) !== frame) $("frame").value = frame;
    const text = current?.upload ? `${stage.film.numbers[frame] + 1} / ${current.upload.frames}` : "";
    if ($("frame-number").textContent !== text) $("frame-number").textContent = text;
  };
  $("compare").addEventListener("input", () => { stage.split = $("compare").value / 100; });
  $("frame").addEventListener("input", () => { stage.playing = false; stage.seek(Number($("frame").value)); playing(); });
  $("play").addEventListener("click", () => {
    stage.playing = !stage.playing;
    if (stage.playing && ["keep", "remove"].includes(stage.mode)) stage.setMode("compare");
    playing();
    show();
  });
  playing();
  const swatches = BACKDROPS.map(([name, color], index) => {
    const button = h("button", { type: "button", class: color ? "swatch" : "swatch checker", "aria-label": name, title: name, "aria-pressed": String(!index) });
    if (color) button.style.background = color;
    button.addEventListener("click", () => backdrop(color, button));
    return button;
  });
  const any = h("input", { type: "color", value: "#7a4bd0", "aria-label": "Any color", title: "Any color" });
  any.addEventListener("input", () => backdrop(any.value, null));
  $("backdrops").replaceChildren(...swatches, any);
  function backdrop(color, button) {
    $("stage").classList.toggle("checker", !color);
    $("stage").style.background = color;
    for (const one of swatches) press(one, one === button);
  }
  $("to-pack").addEventListener("click", () => {
    const job = shownJob(current);
    tray.add({ source: `${job.id}/${job.results[0].name}`, name: job.results[0].name, film_url: `/v1/jobs/${job.id}/film`, film: job.results[0].about.film });
  });
  $("to-animate").addEventListener("click", () => {
    const job = shownJob(current);
    animate.use({ source: `${job.id}/${job.results[0].name}`, name: job.results[0].name, film_url: `/v1/jobs/${job.id}/film`, film: job.results[0].about.film });
  });
  $("for-all").addEventListener("click", async () => {
    for (const item of items) {
      if (item === current || !item.upload) continue;
      item.settings = { ...current.settings };
      await run(item);
    }
    if (current.dirty) await run(current);
  });
  $("example").addEventListener("click", async () => {
    const reply = await fetch("/v1/example").catch(() => null);
    if (reply?.ok) take([new File([await reply.blob()], "example.gif")]);
    else say("The example could not be drawn.", true);
  });
  jobs.watch(update);
}
