"use strict";

(() => {
  const study = window.STUDY;
  const at = (id) => document.getElementById(id);
  const store = new AnswerStore(study);
  const most = Math.max(...study.trials.map((trial) => trial.clips.length));
  const pairs = most === 2;
  let player, stages, buttons;
  let place = 0; // of the question that is asked, among all questions of all comparisons
  let shown = 0; // when it was shown
  let busy = true; // the clips are not there yet
  let locked = false; // an answer was given and is shown for a moment
  let given = 0; // answers since the page was opened
  const notices = { saving: "", clips: "" };
  let background = 0;

  const questions = study.questions.length;
  const total = () => study.forms[store.form].length * questions;
  const ask = (number) => {
    const [trial, ...order] = study.forms[store.form][Math.floor(number / questions)];
    const clips = order.map((clip) => study.trials[trial].clips[clip]);
    return { ...study.trials[trial], clips, question: study.questions[number % questions] };
  };
  const answered = (number) => {
    const { id, question } = ask(number);
    return store.answerTo(id, question.name);
  };
  const firstOpen = (from = 0) => {
    for (let number = from; number < total(); number++) if (!answered(number)) return number;
    return total();
  };

  function say(about, text) {
    notices[about] = text;
    at("notice").textContent = Object.values(notices).filter(Boolean).join(" ");
    at("notice").hidden = !at("notice").textContent;
  }

  function only(section) {
    for (const id of ["start", "ask", "done"]) at(id).hidden = id !== section;
  }

  function key(text) {
    const element = document.createElement("kbd");
    element.textContent = text;
    return element;
  }

  function makeClips() {
    stages = [];
    buttons = [];
    for (let number = 1; number <= most; number++) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "clip";
      button.setAttribute("aria-label", `Sticker ${number}`);
      button.setAttribute("aria-keyshortcuts", pairs ? `${number} ${number === 1 ? "ArrowLeft" : "ArrowRight"}` : `${number}`);
      button.addEventListener("click", () => answer(number - 1));
      const stage = document.createElement("div");
      stage.className = "stage";
      const name = document.createElement("span");
      name.className = "name";
      name.append(key(number), ` Sticker ${number}`);
      button.append(stage, name);
      at("clips").append(button);
      stages.push(stage);
      buttons.push(button);
    }
    const columns = Math.min(most, most === 4 ? 2 : 3);
    at("clips").style.setProperty("--columns", columns);
    at("clips").style.setProperty("--rows", Math.ceil(most / columns));
    player = new Player(stages);
  }

  function setBackground(number) {
    background = number % study.backgrounds.length;
    const color = study.backgrounds[background];
    const paint = (element) => {
      element.classList.toggle("checker", color === "checker");
      element.style.background = color === "checker" ? "" : color;
    };
    stages.forEach(paint);
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    paint(swatch);
    at("background").replaceChildren(swatch, "Background");
    at("background").setAttribute("aria-label", `Background: ${color}. Change it`);
  }

  async function play(work) {
    at("clips").setAttribute("aria-busy", "true");
    try {
      const mine = await work;
      if (mine) {
        at("clips").removeAttribute("aria-busy");
        say("clips", "");
      }
      return mine;
    } catch (error) {
      say("clips", `${error.message} Press R to try again; your answers are kept.`);
      return false;
    }
  }

  async function show(number) {
    place = number;
    at("progress").max = total();
    at("progress").value = number;
    at("progress").hidden = false;
    if (number >= total()) return finish();
    busy = true;
    only("ask");
    const { clips, prompt, question } = ask(number);
    const before = answered(number);
    const turn = Math.floor(number / questions) + 1;
    const part = questions > 1 ? `, question ${(number % questions) + 1} of ${questions}` : "";
    at("progress-text").textContent = `Comparison ${turn} of ${total() / questions}${part}`;
    at("question").textContent = question.text;
    at("prompt").textContent = `“${prompt}”`;
    at("prompt").hidden = !prompt;
    at("back").disabled = number === 0;
    at("keep").hidden = !before;
    buttons.forEach((button, index) => {
      button.hidden = index >= clips.length;
      button.setAttribute("aria-pressed", String(Boolean(before) && before.choice === clips[index]));
    });
    at("tie").setAttribute("aria-pressed", String(Boolean(before) && before.choice === null));
    const same = player.names.join() === clips.join();
    if (same || (await play(player.show(clips)))) {
      if (place !== number) return;
      busy = false;
      shown = performance.now();
      if (number + questions < total()) player.prepare(ask(number + questions).clips);
    }
  }

  function answer(index) {
    if (busy || locked || at("ask").hidden) return;
    const { id, clips, question } = ask(place);
    if (index >= clips.length || (index < 0 && !study.ties)) return;
    locked = true;
    given++;
    store.add({
      trial: id,
      question: question.name,
      choice: index < 0 ? null : clips[index],
      shown: clips,
      background: study.backgrounds[background],
      ms: Math.round(performance.now() - shown),
      time: new Date().toISOString(),
    });
    // long enough to see what was chosen
    [at("tie"), ...buttons].forEach((button, number) => button.setAttribute("aria-pressed", String(number === index + 1)));
    setTimeout(() => {
      locked = false;
      show(firstOpen());
    }, 180);
  }

  function back() {
    if (place > 0 && !locked) show(place - 1);
  }

  function keep() {
    if (!busy && !locked && answered(place)) show(firstOpen());
  }

  function restart() {
    if (busy) show(place);
    else play(player.restart());
  }

  function finish() {
    only("done");
    at("progress-text").textContent = "Done";
    tellDone();
    at("done-title").focus();
    if (!store.server && given) store.download();
  }

  function tellSaved() {
    at("help-saved").textContent = store.server
      ? "Every answer is saved at once. You can close the page and come back."
      : store.lost
        ? "The server does not answer. Every answer is kept in this browser and sent when it does."
        : "Every answer is kept in this browser at once. You can close the page and come back.";
  }

  function tellDone() {
    const file = `${store.rater}-${study.id}.jsonl`;
    at("done-text").textContent = store.lost
      ? `The server does not answer, so your answers are not saved there yet. Leave this page open; they are also in the file ${file} among your downloads.`
      : !store.server
      ? `Your ${total()} answers are in the file ${file} among your downloads. Please send it to whoever asked you.`
      : store.pending.length
        ? "Your last answers are being saved; leave this page open."
        : `Your ${total()} answers are saved. You can close this page.`;
  }

  function act(pressed) {
    if (/^[1-9]$/.test(pressed)) return answer(Number(pressed) - 1);
    switch (pressed) {
      case "0":
        return answer(-1);
      case "Backspace":
        return back();
      case "Enter":
        return keep();
      case "b":
      case "B":
        return setBackground(background + 1);
      case "r":
      case "R":
        return restart();
      case "ArrowLeft":
      case "ArrowRight": {
        const step = pressed === "ArrowLeft" ? -1 : 1;
        if (pairs) return answer(step < 0 ? 0 : 1);
        const now = buttons.indexOf(document.activeElement);
        return buttons[now < 0 ? (step < 0 ? most - 1 : 0) : (now + step + most) % most].focus();
      }
      case "ArrowDown":
        return pairs ? answer(-1) : undefined;
    }
  }

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || at("help").open) return;
    if (at("start").hidden && event.key === "?") {
      event.preventDefault();
      return at("help").showModal();
    }
    if (!at("done").hidden && event.key === "Backspace") return back();
    if (at("ask").hidden) return;
    // a button that has the focus is pressed by Enter itself
    if (event.key === "Enter" && event.target.closest("button")) return;
    if (!/^([0-9]|Backspace|Enter|[bBrR]|Arrow(Left|Right|Down))$/.test(event.key)) return;
    if (event.key === "ArrowDown" && !(pairs && study.ties)) return;
    event.preventDefault();
    if (!event.repeat) act(event.key);
  }

  async function begin(event) {
    event.preventDefault();
    at("begin-button").disabled = true;
    try {
      await store.open(at("rater").value);
      if (!store.lost) say("saving", "");
      document.activeElement.blur();
      show(firstOpen());
    } catch (error) {
      say("saving", error.message[0].toUpperCase() + error.message.slice(1));
    } finally {
      at("begin-button").disabled = false;
    }
  }

  async function start() {
    document.title = study.title;
    at("title").textContent = study.title;
    makeClips();
    setBackground(0);
    at("tie").hidden = !study.ties;
    for (const element of document.querySelectorAll(".ties")) element.hidden = !study.ties;
    at("help-digits").replaceChildren(key(1), pairs ? " " : " to ", key(most));
    at("help-arrows").replaceChildren(key("←"), " ", key("→"), ...(pairs && study.ties ? [" ", key("↓")] : []));
    at("help-arrows-text").textContent = pairs
      ? `left one, right one${study.ties ? ", no difference" : ""}`
      : "move between the stickers";
    const each = questions > 1 ? `, and ${questions} questions about each` : "";
    const what = pairs ? "two animated stickers side by side" : `${most} animated stickers beside each other`;
    at("task").textContent =
      `You will see ${what}, made in different ways, in random order. There are ${study.forms[0].length} ` +
      `comparisons${each}. Choose by touch, by click or with the keys ${pairs ? "1 and 2" : `1 to ${most}`}; ? lists all keys.`;
    store.onTrouble = (text) => {
      say("saving", text);
      tellSaved();
      if (!at("done").hidden) tellDone();
    };
    await store.findServer();
    tellSaved();
    at("begin").addEventListener("submit", begin);
    at("tie").addEventListener("click", () => answer(-1));
    at("keep").addEventListener("click", keep);
    at("back").addEventListener("click", back);
    at("done-back").addEventListener("click", back);
    at("restart").addEventListener("click", restart);
    at("background").addEventListener("click", () => setBackground(background + 1));
    at("help-button").addEventListener("click", () => at("help").showModal());
    at("download").addEventListener("click", () => store.download());
    at("done-download").addEventListener("click", () => store.download());
    document.addEventListener("keydown", onKey);
    window.addEventListener("beforeunload", (event) => {
      if (store.pending.length) event.preventDefault();
    });
    at("rater").value = store.lastRater();
    if (at("rater").value) at("begin-button").textContent = "Go on";
    only("start");
    at("rater").focus();
  }

  start();
})();
