// The page "Pack": platforms, the order to make packs, and what came of it.

import { ask, post } from "./api.js";
import { $, Kept, h, say, showValues, wrong } from "./dom.js";
import * as jobs from "./jobs.js";
import * as tray from "./tray.js";

const chosen = new Kept("platforms", ["telegram", "whatsapp"]);

const size = (bytes) => `${Math.round(bytes / 1000)} KB`;

function limits(platform) {
  return Object.entries(platform.kinds).map(([kind, one]) =>
    `${kind} ${one.format} ${one.canvas.join("×")}, ${size(one.bytes)}${one.max_ms ? `, ${one.max_ms / 1000} s` : ""}`).join("; ");
}

async function platforms() {
  const list = await ask("/v1/platforms");
  $("platforms").replaceChildren(...list.map((one) => h("label", {},
    h("input", { type: "checkbox", name: "platform", value: one.key, checked: chosen.get().includes(one.key) }),
    h("span", {}, one.title), h("small", {}, `${limits(one)}; ${one.count[0]} to ${one.count[1] > 1000 ? "any number" : one.count[1]}`))));
  $("platforms").addEventListener("change", () => chosen.set(picked()));
}

const picked = () => [...document.querySelectorAll("input[name=platform]:checked")].map((box) => box.value);

function table(rows) {
  const head = ["file", "KB", "pixels", "frames", "s", "PSNR", "done"];
  return h("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Report" }, h("table", {},
    h("thead", {}, h("tr", {}, ...head.map((one) => h("th", { scope: "col" }, one)))),
    h("tbody", {}, ...rows.map((row) => h("tr", {},
      ...[row.file, `${(row.bytes / 1000).toFixed(1)} of ${row.most_bytes / 1000}`, `${row.width}×${row.height}`, row.frames,
        row.ms / 1000, row.psnr === null ? "exact" : row.psnr.toFixed(1), row.done.join("; ")].map((cell) => h("td", {}, String(cell))))))));
}

function result(job) {
  const packs = jobs.isOver(job) ? job.results.filter((one) => one.about.platform) : [];
  const sheet = (key) => job.results.find((one) => one.about.sheet === key);
  const over = jobs.isOver(job);
  return h("section", { class: "batch", "aria-label": `Pack ${job.title}` },
    h("div", { class: "head" }, h("h2", {}, job.title),
      over ? h("button", { type: "button", class: "quiet", onclick: () => jobs.remove(job), "aria-label": `Remove pack ${job.title}` }, "Remove")
        : h("button", { type: "button", onclick: () => jobs.cancel(job), "aria-label": `Cancel pack ${job.title}` }, "Cancel"),
      h("p", { class: job.state === "failed" ? "state bad" : "soft small" },
        job.state === "failed" && job.problems.length ? `${job.problems.length} limits are not met; nothing was written.` : jobs.told(job)),
      over ? null : h("progress", { max: Math.max(1, job.total), value: job.done, "aria-label": `Progress of ${job.title}` })),
    job.problems.length ? h("ul", { class: "problems" }, ...job.problems.map((one) => h("li", {}, one))) : null,
    h("div", { class: "pack-cards" }, ...packs.map((one) => h("article", { class: "card pack-card" },
      h("h3", {}, one.about.title),
      sheet(one.about.platform) ? h("a", { href: sheet(one.about.platform).url, target: "_blank" },
        h("img", { src: sheet(one.about.platform).url, alt: `All stickers for ${one.about.title} on a light and a dark chat`, loading: "lazy" })) : null,
      h("p", { class: "soft small" }, `${one.about.kind}, every file read back and within all limits`),
      h("a", { class: "button strong wide", href: `${one.url}?download=1`, download: true }, `Download ${one.name}, ${size(one.bytes)}`),
      h("details", {}, h("summary", {}, "Report"), table(one.about.rows))))));
}

export function start() {
  showValues($("pack-form"), { "pack-outline": (value) => (value ? `${value} px` : "none") });
  platforms().catch(wrong);
  $("pack-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!tray.entries().length) return say("Add at least one sticker to the pack first.", true);
    if (!picked().length) return say("Choose at least one platform.", true);
    try {
      await post("/v1/pack?wait=0", {
        stickers: tray.entries().map(({ source, emoji }) => ({ source, emoji })),
        platforms: picked(),
        name: $("pack-name").value,
        author: $("pack-author").value,
        too_long: $("too-long").value,
        mixed: $("mixed").checked ? "still" : "refuse",
        outline: Number($("pack-outline").value),
      });
      jobs.refresh();
      $("pack-results").scrollIntoView({ behavior: "smooth", block: "nearest" });
    } catch (error) {
      wrong(error);
    }
    return undefined;
  });
  let last = "";
  jobs.watch((found) => {
    const packs = found.filter((job) => job.kind === "pack");
    const signature = JSON.stringify(packs.map((job) => [job.id, job.state, jobs.isOver(job) || [job.done, job.what]]));
    if (signature === last) return;
    last = signature;
    $("pack-results").replaceChildren(...packs.slice(0, 10).map(result));
  });
}
