// Small helpers around the document.

export const $ = (id) => document.getElementById(id);

/** An element: `h("button", { type: "button", class: "strong", onclick }, "Text")`. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Say something in the corner; errors stay longer. */
export function say(text, bad = false) {
  const toast = h("div", { class: bad ? "toast bad" : "toast" }, text);
  $("toasts").append(toast);
  setTimeout(() => toast.remove(), bad ? 9000 : 3500);
}

/** What went wrong, with each single problem where there are several. */
export const wrong = (error) => say([error.message, ...(error.problems || []).slice(0, 4)].join("\n"), true);

/** A pressed button of a group; pressing it again releases it. */
export const press = (button, on) => button.setAttribute("aria-pressed", String(on));

export const seconds = (value) => (value < 90 ? `${Math.max(1, Math.round(value))} s` : `${Math.round(value / 60)} min`);

/** Show the value of each range in its label, and tell it to screen readers. */
export function showValues(form, texts = {}) {
  for (const range of form.querySelectorAll("input[type=range]")) {
    const output = form.querySelector(`[data-for=${range.id}]`);
    if (!output) continue;
    const show = () => {
      output.textContent = texts[range.id] ? texts[range.id](Number(range.value)) : range.value;
      range.setAttribute("aria-valuetext", output.textContent);
    };
    range.addEventListener("input", show);
    show();
  }
}

/** A value that outlives the page and is the same in all tabs; `changed` is called when another tab changes it. */
export class Kept {
  constructor(name, start, changed = () => {}) {
    this.name = `glassine/${name}`;
    this.start = start;
    addEventListener("storage", (event) => { if (event.key === this.name) changed(); });
  }

  get() {
    try {
      return JSON.parse(localStorage.getItem(this.name)) ?? this.start;
    } catch {
      return this.start;
    }
  }

  set(value) {
    try {
      localStorage.setItem(this.name, JSON.stringify(value));
    } catch {
      say("This browser does not keep what you do here: its storage is full or switched off.", true);
    }
  }
}
