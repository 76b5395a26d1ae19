"use strict";

/* What the pages of studies and of reviews have in common: sections, notices, clips to press, backgrounds, wiring. */

const at = (id) => document.getElementById(id);

/** A key of the keyboard, as text. */
function key(text) {
  const element = document.createElement("kbd");
  element.textContent = text;
  return element;
}

class AskingPage {
  /**
   * @param study its plan: title, backgrounds
   * @param store an AnswerStore
   * @param sections ids of the sections, of which one is shown
   */
  constructor(study, store, sections) {
    Object.assign(this, { study, store, sections });
    this.notices = { saving: "", clips: "", choice: "" };
    this.background = 0;
    this.failed = false; // the clips could not be loaded
    this.stages = [];
    this.buttons = [];
  }

  say(about, text) {
    this.notices[about] = text;
    at("notice").textContent = Object.values(this.notices).filter(Boolean).join(" ");
    at("notice").hidden = !at("notice").textContent;
  }

  only(section) {
    for (const id of this.sections) at(id).hidden = id !== section;
  }

  /** One more clip; `name` is what stands below it. */
  addClip(label, shortcuts, name, onClick) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "clip";
    button.setAttribute("aria-label", label);
    button.setAttribute("aria-keyshortcuts", shortcuts);
    button.addEventListener("click", onClick);
    const stage = document.createElement("div");
    stage.className = "stage";
    const below = document.createElement("span");
    below.className = "name";
    below.append(...name);
    button.append(stage, below);
    at("clips").append(button);
    this.stages.push(stage);
    this.buttons.push(button);
  }

  setColumns(columns, clips) {
    at("clips").style.setProperty("--columns", columns);
    at("clips").style.setProperty("--rows", Math.ceil(clips / columns));
  }

  get color() {
    return this.study.backgrounds[this.background];
  }

  /** Show a background behind the clips and `more` elements. */
  setBackground(number, ...more) {
    this.background = number % this.study.backgrounds.length;
    const paint = (element) => {
      element.classList.toggle("checker", this.color === "checker");
      element.style.background = this.color === "checker" ? "" : this.color;
    };
    [...this.stages, ...more].forEach(paint);
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    paint(swatch);
    at("background").replaceChildren(swatch, "Background");
    at("background").setAttribute("aria-label", `Background: ${this.color}. Change it`);
  }

  /** Wait for the player's work; whether the clips that it loaded are still wanted. */
  async play(work) {
    at("clips").setAttribute("aria-busy", "true");
    try {
      const mine = await work;
      if (mine) {
        at("clips").removeAttribute("aria-busy");
        this.say("clips", "");
        this.failed = false;
      }
      return mine;
    } catch (error) {
      this.failed = true;
      this.say("clips", `${error.message} Press R to try again; your answers are kept.`);
      return false;
    }
  }

  /** Open the rater's answers; whether they could be. */
  async begin(event) {
    event.preventDefault();
    at("begin-button").disabled = true;
    try {
      await this.store.open(at("rater").value);
      if (!this.store.lost) this.say("saving", "");
      return true;
    } catch (error) {
      this.say("saving", error.message[0].toUpperCase() + error.message.slice(1));
      return false;
    } finally {
      at("begin-button").disabled = false;
    }
  }

  tellSaved() {
    at("help-saved").textContent = this.store.server
      ? "Every answer is saved at once. You can close the page and come back."
      : this.store.lost
        ? "The server does not answer. Every answer is kept in this browser and sent when it does."
        : "Every answer is kept in this browser at once. You can close the page and come back.";
  }

  /** What the last section says; `these` and `last` name the answers. */
  tellDone(these, last) {
    const file = `${this.store.rater}-${this.study.id}.jsonl`;
    at("done-text").textContent = this.store.lost
      ? `The server does not answer, so your answers are not saved there yet. Leave this page open; they are also in the file ${file} among your downloads.`
      : !this.store.server
        ? `${these} are in the file ${file} among your downloads. Please send it to whoever asked you.`
        : this.store.pending.length
          ? `${last} are being saved; leave this page open.`
          : `${these} are saved. You can close this page.`;
  }

  /** Look for the server, listen, and ask for the name. */
  async open({ begin, restart, changeBackground, onKey, onTrouble }) {
    document.title = this.study.title;
    at("title").textContent = this.study.title;
    this.store.onTrouble = (text) => {
      this.say("saving", text);
      this.tellSaved();
      onTrouble(text);
    };
    await this.store.findServer();
    this.tellSaved();
    at("begin").addEventListener("submit", begin);
    at("restart").addEventListener("click", restart);
    at("background").addEventListener("click", changeBackground);
    at("help-button").addEventListener("click", () => at("help").showModal());
    at("download").addEventListener("click", () => this.store.download());
    at("done-download").addEventListener("click", () => this.store.download());
    document.addEventListener("keydown", onKey);
    window.addEventListener("beforeunload", (event) => {
      if (this.store.pending.length) event.preventDefault();
    });
    at("rater").value = this.store.lastRater();
    if (at("rater").value) at("begin-button").textContent = "Go on";
    this.only("start");
    at("rater").focus();
  }
}
