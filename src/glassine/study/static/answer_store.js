"use strict";

/* Keeps a rater's answers: in this browser at once, and with the server, where the page came from one that takes them.
   What the server has not confirmed is sent again, also when the page is opened the next time. A server that does not
   answer is asked again until it does: only a plain web server, or no server, is taken for one that keeps nothing. */
const idOf = (answer) => `${answer.trial} ${answer.question} ${answer.time}`;

class AnswerStore {
  constructor(study) {
    this.study = study;
    this.server = false;
    this.lost = false; // a server that did not answer, and is asked again
    this.rater = "";
    this.form = 0;
    this.answers = [];
    this.pending = [];
    this.started = "";
    this.elsewhere = []; // answers under this name that were given in another browser
    this.onTrouble = () => {};
    this.sending = false;
  }

  /* Is there a server that takes answers? A plain web server, or no server, is none. */
  async findServer() {
    if (!location.protocol.startsWith("http")) return;
    for (const wait of [500, 1500, 3000]) {
      if (await this.askServer()) return this.onTrouble("");
      this.onTrouble("The server does not answer yet. Trying again.");
      await new Promise((resolve) => setTimeout(resolve, wait + Math.random() * wait));
    }
    if (await this.askServer()) return this.onTrouble("");
    this.lost = true;
    this.tellLost();
    this.findLater();
  }

  /* Whether an answer came, and what it means. */
  async askServer() {
    try {
      const reply = await fetch("api/study", { cache: "no-store" });
      if (reply.status >= 500 || reply.status === 429) return false;
      let content = {};
      try {
        content = await reply.json();
      } catch {
        // a page of a plain web server
      }
      this.server = reply.ok && content.study === this.study.id;
      return true;
    } catch {
      return false;
    }
  }

  tellLost() {
    this.onTrouble("The server does not answer, so nothing is saved there yet. Trying again; your answers are kept in this browser, so leave this page open, or download them (?).");
  }

  findLater() {
    setTimeout(async () => {
      if (!(await this.askServer())) return this.findLater();
      this.lost = false;
      this.onTrouble("");
      if (this.server && this.rater) this.join();
    }, 4000 + Math.random() * 2000);
  }

  /* A server that was found in the middle: what it lacks is sent to it; the order of the questions stays. */
  async join() {
    try {
      const there = await this.post("api/start", { rater: this.rater });
      const known = new Set(there.answers.map(idOf));
      this.pending = this.answers.filter((answer) => !known.has(idOf(answer)));
      this.answers = there.answers.concat(this.pending);
      this.keepHere();
    } catch (error) {
      this.onTrouble(`Not saved yet: ${error.message} Trying again.`);
      setTimeout(() => this.join(), 5000);
      return;
    }
    this.send();
  }

  lastRater() {
    return this.read("last") || "";
  }

  /* Takes the rater up where they stopped; throws an Error whose message can be shown. */
  async open(name) {
    const rater = name.normalize("NFC").trim().toLowerCase();
    if (!/^[\p{L}\p{N}_-]{1,40}$/u.test(rater)) throw new Error("Use 1 to 40 letters, digits, “-” and “_”, no spaces.");
    this.rater = rater;
    const here = this.read(rater) || { form: this.formOf(rater), answers: [], started: new Date().toISOString() };
    this.form = here.form;
    this.started = here.started;
    this.answers = here.answers;
    this.pending = this.lost ? here.answers.slice() : [];
    this.elsewhere = [];
    if (this.server) {
      const there = await this.post("api/start", { rater });
      const known = new Set(there.answers.map(idOf));
      const own = new Set(here.answers.map(idOf));
      this.elsewhere = there.answers.filter((answer) => !own.has(idOf(answer)));
      this.pending = here.answers.filter((answer) => !known.has(idOf(answer)));
      this.form = there.form;
      this.answers = there.answers.concat(this.pending);
    }
    this.write("last", rater);
    this.keepHere();
    this.send();
  }

  /* This browser was another person's: it keeps nothing under that name. */
  forget() {
    for (const name of ["last", this.rater]) this.drop(name);
    this.rater = "";
    this.answers = [];
    this.pending = [];
    this.elsewhere = [];
  }

  /* The last answer to a question of a trial, if there is one. */
  answerTo(trial, question) {
    return this.answers.findLast((answer) => answer.trial === trial && answer.question === question);
  }

  add(answer) {
    this.answers.push(answer);
    this.keepHere();
    if (this.server || this.lost) this.pending.push(answer);
    if (this.server) this.send();
    else if (this.lost) this.tellLost();
  }

  async send() {
    if (this.sending || !this.server || !this.pending.length) return;
    this.sending = true;
    const batch = this.pending.slice(0, 100);
    try {
      await this.post("api/answers", { rater: this.rater, answers: batch });
      this.pending.splice(0, batch.length);
      this.onTrouble("");
    } catch (error) {
      this.onTrouble(`Not saved yet: ${error.message} Trying again; your answers are kept in this browser, so do not close it.`);
      setTimeout(() => this.send(), 3000);
      return;
    } finally {
      this.sending = false;
    }
    this.send();
  }

  async post(address, content) {
    let reply, text;
    try {
      reply = await fetch(address, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ study: this.study.id, ...content }),
        keepalive: true,
      });
      text = await reply.json();
    } catch {
      throw new Error("the server does not answer.");
    }
    if (!reply.ok) throw new Error(`${text.error || reply.status}.`);
    return text;
  }

  /* Everything as the file that `report` reads. */
  download() {
    const header = { study: this.study.id, rater: this.rater, form: this.form, time: this.started };
    const lines = [header, ...this.answers].map((line) => JSON.stringify(line) + "\n");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(lines, { type: "application/jsonl" }));
    link.download = `${this.rater}-${this.study.id}.jsonl`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  /* Without a server a rater's form is told from their name. */
  formOf(rater) {
    let sum = 2166136261;
    for (const letter of rater) sum = Math.imul(sum ^ letter.codePointAt(0), 16777619) >>> 0;
    return sum % this.study.forms.length;
  }

  /* What another tab of this browser has kept meanwhile stays. */
  keepHere() {
    const known = new Set(this.answers.map(idOf));
    const others = ((this.read(this.rater) || {}).answers || []).filter((answer) => !known.has(idOf(answer)));
    this.answers = others.concat(this.answers).sort((one, other) => (one.time < other.time ? -1 : one.time > other.time ? 1 : 0));
    const kept = this.write(this.rater, { form: this.form, started: this.started, answers: this.answers });
    if (!kept && !this.server) this.onTrouble("This browser keeps nothing: download your answers (?) before you close the page.");
  }

  read(name) {
    try {
      return JSON.parse(localStorage.getItem(`glassine-study/${this.study.id}/${name}`));
    } catch {
      return null;
    }
  }

  drop(name) {
    try {
      localStorage.removeItem(`glassine-study/${this.study.id}/${name}`);
    } catch {
      // it keeps nothing
    }
  }

  write(name, content) {
    try {
      localStorage.setItem(`glassine-study/${this.study.id}/${name}`, JSON.stringify(content));
      return true;
    } catch {
      return false;
    }
  }
}
