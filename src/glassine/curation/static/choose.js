"use strict";
// Asks what window.PLAN holds; every click is saved. Texts of a crawl are shown as text, never as markup.
const plan = window.PLAN;
const answers = new Map();
const state = document.getElementById("state");
let saving = Promise.resolve(); // one request after the other, or an older one could be written last

async function send(path, more) {
  const body = JSON.stringify({ study: plan.study, rater: "", ...more });
  const reply = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  const content = await reply.json();
  if (!reply.ok) throw new Error(content.error || reply.statusText);
  return content;
}

function say(text) {
  state.textContent = text || `${answers.size} of ${plan.questions.length} answered`;
}

function picture(clip) {
  const image = document.createElement("img");
  image.loading = "lazy";
  image.src = `clips/${clip}`;
  image.alt = "";
  return image;
}

function mark(section, value) {
  for (const button of section.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.value === value));
  }
}

function answer(section, name, value) {
  answers.set(name, value);
  mark(section, value);
  saving = saving.then(async () => {
    try {
      await send("/api/answers", { answers: [...answers].map(([one, given]) => ({ name: one, value: given })) });
      say();
    } catch (error) {
      say(`not saved, answer again later: ${error.message}`);
    }
  });
}

// keys 1 to 9 answer the first question that has no answer, and show the next one
function byKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || !/^[1-9]$/.test(event.key)) return;
  const open = plan.questions.filter((question) => !answers.has(question.name));
  if (!open.length) return;
  const button = sections.get(open[0].name).querySelectorAll("button")[Number(event.key) - 1];
  if (!button) return;
  button.click();
  if (open.length > 1) sections.get(open[1].name).scrollIntoView({ block: "center" });
}

function ask(question) {
  const section = document.createElement("section");
  const title = document.createElement("h2");
  title.textContent = question.title;
  section.append(title);
  if (question.clip) section.append(picture(question.clip));
  const options = document.createElement("div");
  options.className = "options";
  const choices = question.clip ? question.options : [...question.options, { value: "", clip: "" }];
  for (const [place, option] of choices.entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.value = option.value;
    if (option.clip) {
      button.append(picture(option.clip));
      button.setAttribute("aria-label", `Sticker ${place + 1}`);
    } else button.append(option.value || "none of them");
    button.addEventListener("click", () => answer(section, question.name, option.value));
    options.append(button);
  }
  section.append(options);
  document.getElementById("questions").append(section);
  return section;
}

document.title = plan.title;
document.getElementById("title").textContent = plan.title;
const sections = new Map(plan.questions.map((question) => [question.name, ask(question)]));
send("/api/start", {}).then((content) => {
  for (const [name, value] of Object.entries(content.answers)) {
    if (!sections.has(name)) continue;
    answers.set(name, value);
    mark(sections.get(name), value);
  }
  say();
}).catch((error) => say(error.message));
document.addEventListener("keydown", byKey);
