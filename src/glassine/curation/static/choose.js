"use strict";
// Asks what window.PLAN holds; every click is saved. Texts of a crawl are shown as text, never as markup.
const plan = window.PLAN;
const answers = new Map();
const state = document.getElementById("state");

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

async function answer(section, name, value) {
  answers.set(name, value);
  mark(section, value);
  try {
    await send("/api/answers", { answers: [...answers].map(([one, given]) => ({ name: one, value: given })) });
    say();
  } catch (error) {
    say(`not saved: ${error.message}`);
  }
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
  for (const option of choices) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.value = option.value;
    if (option.clip) button.append(picture(option.clip));
    else button.append(option.value || "none of them");
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
