// The page "Generate": stickers from words, a seed for each.

import { post } from "./api.js";
import { $, h, showValues, wrong } from "./dom.js";
import * as animate from "./animate.js";
import * as jobs from "./jobs.js";
import { showTiles } from "./tiles.js";

const IDEAS = ["a happy cat", "a waving panda", "a red heart", "a slice of pizza", "开心的小猫", "一颗爱心"];

export function start() {
  const form = $("generate-form");
  showValues(form, { "generate-motion": (value) => (value < 0 ? "open" : String(value)) });
  $("prompt-ideas").replaceChildren(...IDEAS.map((idea) =>
    h("button", { type: "button", onclick: () => { $("prompt").value = idea; $("prompt").focus(); } }, idea)));
  $("generate-method").addEventListener("change", () => { $("generate-motion").disabled = $("generate-method").value === "cutout"; });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [first, motion] = [Number($("generate-seed").value), Number($("generate-motion").value)];
    const method = $("generate-method").value;
    try {
      await post("/v1/generate?wait=0", {
        prompt: $("prompt").value,
        seeds: Array.from({ length: Number($("generate-count").value) }, (_, number) => first + number),
        motion: motion < 0 || method === "cutout" ? null : motion,
        steps: Number($("generate-steps").value) || null, // the usual number
        method,
      });
      $("generate-seed").value = first + Number($("generate-count").value);
      jobs.refresh();
    } catch (error) {
      wrong(error);
    }
  });
  const update = showTiles($("generate-results"), ["generate", "animate"],
    { onlyFavorites: () => $("favorites-only").checked, onAnimate: animate.use });
  $("favorites-only").addEventListener("change", update);
}
