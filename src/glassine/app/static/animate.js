// The page "Animate": a still and a prompt in, animated stickers out.

import { postForm, upload } from "./api.js";
import { $, h, say, showValues, wrong } from "./dom.js";
import { thumb } from "./film.js";
import * as jobs from "./jobs.js";
import { showTiles } from "./tiles.js";

let still = null; // {source, name, url or film_url and film}

/** Take a sticker of another page, and go there. */
export function use(entry) {
  still = entry;
  $("still").replaceChildren(entry.film_url ? thumb(entry.film_url, entry.film, 320) : h("img", { src: entry.url, alt: "" }));
  $("still-name").textContent = entry.name;
  location.hash = "animate";
  $("animate-prompt").focus();
}

export async function take(files) {
  $("still-name").textContent = `reading ${files[0].name}`;
  try {
    const known = await upload(files[0]);
    use({ source: known.id, name: known.name, film_url: known.film_url, film: known.film });
  } catch (error) {
    $("still-name").textContent = error.message;
    wrong(error);
  }
}

export function start() {
  const form = $("animate-form");
  showValues(form, { "animate-motion": (value) => (value < 0 ? "open" : String(value)) });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!still) {
      say("Choose a picture first.", true);
      return;
    }
    const [first, count] = [Number($("animate-seed").value), Number($("animate-count").value)];
    const motion = Number($("animate-motion").value);
    try {
      await postForm("/v1/animate?wait=0", {
        prompt: $("animate-prompt").value,
        source: still.source,
        seeds: Array.from({ length: count }, (_, number) => first + number).join(","),
        motion: motion < 0 ? null : motion,
        steps: Number($("animate-steps").value) || null, // the usual number
      });
      $("animate-seed").value = first + count;
      jobs.refresh();
    } catch (error) {
      wrong(error);
    }
  });
  showTiles($("animate-results"), ["animate"], { onAnimate: use });
}
