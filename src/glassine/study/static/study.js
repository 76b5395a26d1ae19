"use strict";

(() => {
  const study = window.STUDY;
  const store = new AnswerStore(study);
  const most = Math.max(...study.trials.map((trial) => trial.clips.length));
  const pairs = most === 2;
  const page = new AskingPage(study, store, ["start", "ask", "done"]);
  const { buttons } = page;
  let player;
  let place = 0; // of the question that is asked, among all questions of all comparisons
  let shown = 0; // when it was shown
  let busy = true; // the clips are not there yet
  let locked = false; // an answer was given and is shown for a moment
  let given = 0; // answers since the page was opened

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

  function makeClips() {
    for (let number = 1; number <= most; number++) {
      const shortcuts = pairs ? `${number} ${number === 1 ? "ArrowLeft" : "ArrowRight"}` : `${number}`;
      page.addClip(`Sticker ${number}`, shortcuts, [key(number), ` Sticker ${number}`], () => answer(number - 1));
    }
    page.setColumns(Math.min(most, most === 4 ? 2 : 3), most);
    player = new Player(page.stages);
  }

  const changeBackground = () => page.setBackground(page.background + 1);

  async function show(number) {
    place = number;
    at("progress").max = total();
    at("progress").value = number;
    at("progress").hidden = false;
    if (number >= total()) return finish();
    busy = true;
    page.only("ask");
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
    if (same || (await page.play(player.show(clips)))) {
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
      background: page.color,
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
    else page.play(player.restart());
  }

  function finish() {
    page.only("done");
    at("progress-text").textContent = "Done";
    tellDone();
    at("done-title").focus();
    if (!store.server && given) store.download();
  }

  function tellDone() {
    page.tellDone(`Your ${total()} answers`, "Your last answers");
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
        return changeBackground();
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
    if (!(await page.begin(event))) return;
    document.activeElement.blur();
    show(firstOpen());
  }

  async function start() {
    makeClips();
    page.setBackground(0);
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
    at("tie").addEventListener("click", () => answer(-1));
    at("keep").addEventListener("click", keep);
    at("back").addEventListener("click", back);
    at("done-back").addEventListener("click", back);
    const onTrouble = () => {
      if (!at("done").hidden) tellDone();
    };
    await page.open({ begin, restart, changeBackground, onKey, onTrouble });
  }

  start();
})();
