// The page: which part is shown, files that are dropped or chosen, and the start of all parts.

import { ask } from "./api.js";
import { $ } from "./dom.js";
import * as animate from "./animate.js";
import * as cutout from "./cutout.js";
import * as generate from "./generate.js";
import * as jobs from "./jobs.js";
import * as pack from "./pack.js";
import * as tray from "./tray.js";

const PAGES = ["cutout", "generate", "animate", "pack"];
const TAKERS = { cutout: cutout.take, animate: animate.take, pack: tray.take, generate: (files) => { location.hash = "cutout"; cutout.take(files); } };
let page = "cutout";

function open() {
  const wanted = location.hash.slice(1);
  page = PAGES.includes(wanted) ? wanted : "cutout";
  for (const name of PAGES) $(name).hidden = name !== page;
  for (const link of document.querySelectorAll("nav a[data-page]")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}
addEventListener("hashchange", () => { open(); $("view").focus({ preventScroll: true }); scrollTo(0, 0); });

// files
const hasFiles = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  document.body.classList.add("dragging");
});
addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dragging"); });
addEventListener("drop", (event) => {
  document.body.classList.remove("dragging");
  if (!hasFiles(event)) return;
  event.preventDefault();
  const files = [...event.dataTransfer.files];
  if (files.length) TAKERS[page](files);
});
addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files || [])];
  if (files.length) TAKERS[page](files);
});
let chooser = "cutout";
for (const button of document.querySelectorAll("[data-choose]")) {
  button.addEventListener("click", () => { chooser = button.dataset.choose; $("chooser").click(); });
}
$("chooser").addEventListener("change", () => {
  const files = [...$("chooser").files];
  $("chooser").value = "";
  if (files.length) TAKERS[chooser](files);
});
addEventListener("keydown", (event) => {
  if (event.key !== " " || event.target !== document.body || page !== "cutout") return;
  event.preventDefault();
  $("play").click();
});

open();
for (const part of [cutout, generate, animate, tray, pack]) part.start();
jobs.refresh();
ask("/v1/status").then((status) => {
  $("study-link").hidden = !status.study;
  $("review-link").hidden = !status.review;
}).catch(() => {});
