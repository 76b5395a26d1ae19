// The stickers of the pack to be, in order; kept in the browser, the same in all tabs.

import { upload } from "./api.js";
import { $, Kept, h, say, wrong } from "./dom.js";
import { thumb } from "./film.js";

const EMOJI = [..."😀😁😂🤣😊😍😘😎🤩🤔🙄😴😭😡😱🥳👍👎👋🙏💪👀❤💔✨🔥🎉🎂🐱🐶🐼🐸🍕🍔☕🌈🌸⭐💤💯"];
const kept = new Kept("tray", [], () => show());
let choosing = null;
let dragged = null;

export const entries = () => kept.get();

/** Put a sticker at the end. */
export function add(entry) {
  kept.set([...entries(), { ...entry, key: `${Date.now()}-${Math.random()}`, emoji: "" }]);
  show();
  say(`${entry.name} is in the pack.`);
}

export async function take(files) {
  for (const file of files) {
    try {
      const known = await upload(file);
      add({ source: known.id, name: known.name, film_url: known.film_url, film: known.film });
    } catch (error) {
      wrong(error);
    }
  }
}

function move(from, to) {
  const list = entries();
  if (to < 0 || to >= list.length || from === to) return;
  const [entry] = list.splice(from, 1);
  list.splice(to, 0, entry);
  kept.set(list);
  show();
  say(`${entry.name} is number ${to + 1} of ${list.length}.`);
}

function change(key, emoji) {
  kept.set(entries().map((entry) => (entry.key === key ? { ...entry, emoji } : entry)));
}

function slot(entry, number, count) {
  const name = `${entry.name}, number ${number + 1}`;
  const picture = entry.film_url ? thumb(entry.film_url, entry.film, 200) : h("img", { src: entry.url, alt: "" });
  if (entry.film_url) picture.className = "";
  const input = h("input", { value: entry.emoji, placeholder: "emoji", maxlength: 40, "aria-label": `Emoji of ${name}` });
  input.addEventListener("change", () => change(entry.key, input.value));
  const element = h("li", { class: "slot", draggable: "true", tabindex: "0", "aria-label": name, "data-key": entry.key },
    h("div", { class: "picture checker" }, picture), h("span", { class: "number" }, String(number + 1)),
    h("span", { class: "name" }, entry.name),
    h("div", { class: "foot" },
      h("button", { type: "button", class: "emoji-button", "aria-label": `Choose an emoji for ${name}`,
        onclick: () => { choosing = { entry, input }; $("emoji").showModal(); } }, entry.emoji.trim().split(/\s+/)[0] || "🙂"),
      input,
      h("button", { type: "button", "aria-label": `Move ${name} earlier`, disabled: number === 0, onclick: () => step(entry.key, -1) }, "←"),
      h("button", { type: "button", "aria-label": `Move ${name} later`, disabled: number === count - 1, onclick: () => step(entry.key, 1) }, "→")),
    h("button", { type: "button", class: "quiet", "aria-label": `Take ${name} out of the pack`,
      onclick: () => { kept.set(entries().filter((one) => one.key !== entry.key)); show(); } }, "Take out"));
  element.addEventListener("keydown", (event) => {
    if (event.target !== element || !event.altKey) return;
    if (event.key === "ArrowLeft" || event.key === "ArrowUp") { event.preventDefault(); step(entry.key, -1); }
    if (event.key === "ArrowRight" || event.key === "ArrowDown") { event.preventDefault(); step(entry.key, 1); }
  });
  element.addEventListener("dragstart", (event) => {
    dragged = entry.key;
    event.dataTransfer.setData("text/plain", entry.name);
    event.dataTransfer.effectAllowed = "move";
    element.classList.add("moving");
  });
  element.addEventListener("dragend", () => { dragged = null; element.classList.remove("moving"); });
  element.addEventListener("dragover", (event) => {
    if (!dragged) return;
    event.preventDefault();
    element.classList.add("target");
  });
  element.addEventListener("dragleave", () => element.classList.remove("target"));
  element.addEventListener("drop", (event) => {
    element.classList.remove("target");
    if (!dragged) return;
    event.preventDefault();
    event.stopPropagation();
    const keys = entries().map((one) => one.key);
    move(keys.indexOf(dragged), keys.indexOf(entry.key));
  });
  return element;
}

function step(key, by) {
  const from = entries().findIndex((entry) => entry.key === key);
  const label = document.activeElement?.getAttribute("aria-label")?.split(" ").pop();
  move(from, from + by);
  const element = $("tray").children[Math.min(entries().length - 1, Math.max(0, from + by))];
  const same = [...element.querySelectorAll("button")].find((one) => one.ariaLabel?.split(" ").pop() === label && !one.disabled);
  (same || element).focus();
}

export function show() {
  const list = entries();
  $("tray-count").hidden = !list.length;
  $("tray-count").textContent = list.length;
  $("tray").replaceChildren(...list.map((entry, number) => slot(entry, number, list.length)));
}

export function start() {
  $("tray-clear").addEventListener("click", () => { kept.set([]); show(); });
  $("emoji-list").replaceChildren(...EMOJI.map((one) => h("button", { type: "button", "aria-label": one, onclick: () => {
    const { entry, input } = choosing;
    input.value = [input.value.trim(), one === "❤" ? "❤️" : one].filter(Boolean).join(" ");
    change(entry.key, input.value);
    $("emoji").close();
    show();
  } }, one)));
  show();
}
