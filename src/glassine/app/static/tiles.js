// Results of "Generate" and "Animate": a grid for each job, one tile for each seed.

import { postForm } from "./api.js";
import { Kept, h, press, wrong } from "./dom.js";
import * as jobs from "./jobs.js";
import * as tray from "./tray.js";

const listeners = [];
const favorites = new Kept("favorites", [], () => listeners.forEach((listener) => listener()));
const isFavorite = (source) => favorites.get().includes(source);

function toggle(source) {
  const kept = favorites.get();
  favorites.set(kept.includes(source) ? kept.filter((one) => one !== source) : [...kept, source]);
  listeners.forEach((listener) => listener());
}

export const randomSeeds = (count) => Array.from({ length: count }, () => Math.floor(Math.random() * 1e6));

/**
 * Show the jobs of some kinds.
 * @param place element that takes the batches
 * @param kinds kinds of jobs
 * @param options onlyFavorites: function; onAnimate: takes {source, name, url}; onVaried: called after new ones were asked for
 */
export function showTiles(place, kinds, { onlyFavorites = () => false, onAnimate, onVaried = () => {} }) {
  const drawn = new Map(); // job id -> [signature, element]

  const tile = (job, result) => {
    const source = `${job.id}/${result.name}`;
    const picture = job.settings.format === "webm" ? h("span", {}, "WebM") :
      h("img", { src: result.url, alt: `${result.about.prompt}, seed ${result.about.seed}`, loading: "lazy" });
    const name = `seed ${result.about.seed}`;
    const star = h("button", { type: "button", class: "star", "aria-label": `Favorite, ${name}`, title: "Keep as favorite",
      "aria-pressed": String(isFavorite(source)), onclick: () => { toggle(source); press(star, isFavorite(source)); } }, "★");
    const entry = { source, name: result.name, url: result.url };
    const vary = async () => {
      try {
        const fields = { prompt: job.settings.prompt, source, seeds: randomSeeds(4).join(",") };
        if (job.kind === "animate") fields.steps = job.settings.steps; // another network's number is not this one's
        if (job.settings.motion !== null) fields.motion = job.settings.motion;
        await postForm("/v1/animate?wait=0", fields);
        onVaried();
        jobs.refresh();
      } catch (error) {
        wrong(error);
      }
    };
    return h("article", { class: "tile", "aria-label": `${job.title}, ${name}` },
      h("div", { class: "picture checker" }, picture),
      h("div", { class: "foot" }, h("span", { class: "seed" }, name), star,
        h("button", { type: "button", onclick: vary, title: "Four more that start from this one", "aria-label": `Vary ${name}` }, "Vary"),
        onAnimate && h("button", { type: "button", onclick: () => onAnimate(entry), "aria-label": `Animate ${name}` }, "Animate"),
        h("button", { type: "button", onclick: () => tray.add(entry), "aria-label": `Add ${name} to the pack` }, "To pack"),
        h("a", { class: "button", href: `${result.url}?download=1`, download: true, "aria-label": `Download ${name}` }, "↓")));
  };

  const batch = (job) => {
    const results = job.results.filter((result) => !onlyFavorites() || isFavorite(`${job.id}/${result.name}`));
    if (onlyFavorites() && !results.length) return null;
    const pending = jobs.isOver(job) || onlyFavorites() ? 0 : Math.max(0, new Set(job.settings.seeds).size - job.results.length);
    const over = jobs.isOver(job);
    const buttons = over
      ? h("button", { type: "button", class: "quiet", onclick: () => jobs.remove(job), "aria-label": `Remove ${job.title}` }, "Remove")
      : h("button", { type: "button", onclick: () => jobs.cancel(job), "aria-label": `Cancel ${job.title}` }, "Cancel");
    return h("section", { class: "batch", "aria-label": job.title },
      h("div", { class: "head" },
        h("h2", {}, job.kind === "animate" ? `Animated: ${job.title}` : job.title), buttons,
        h("p", { class: job.state === "failed" ? "small state bad" : "small soft" }, [jobs.told(job), ...job.notes].join("; ")),
        over ? null : h("progress", { max: Math.max(1, job.total), value: job.done, "aria-label": `Progress of ${job.title}` })),
      h("div", { class: "tiles" }, ...results.map((result) => tile(job, result)),
        ...Array.from({ length: pending }, () => h("div", { class: "tile pending", "aria-hidden": "true" }, h("div", { class: "picture" })))));
  };

  const update = () => {
    const shown = jobs.all().filter((job) => kinds.includes(job.kind));
    const elements = [];
    for (const job of shown) {
      const signature = JSON.stringify([job.state, job.results.length, onlyFavorites(), onlyFavorites() && favorites.get()]);
      const known = drawn.get(job.id);
      if (known && known[0] === signature) {
        if (known[1]) renew(known[1], job);
      } else {
        drawn.set(job.id, [signature, batch(job)]);
      }
      elements.push(drawn.get(job.id)[1]);
    }
    const wanted = elements.filter(Boolean);
    if (wanted.length !== place.children.length || wanted.some((one, index) => place.children[index] !== one)) {
      place.replaceChildren(...wanted); // only where something changed, so that focus and animations stay
    }
  };

  const renew = (element, job) => {
    const line = element.querySelector(".head p");
    const text = [jobs.told(job), ...job.notes].join("; ");
    if (line.textContent !== text) line.textContent = text;
    const bar = element.querySelector("progress");
    if (bar) [bar.max, bar.value] = [Math.max(1, job.total), job.done];
  };

  jobs.watch(update);
  listeners.push(() => { if (onlyFavorites()) update(); });
  return update;
}
