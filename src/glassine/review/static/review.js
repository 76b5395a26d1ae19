"use strict";

(() => {
  const study = window.STUDY;
  const store = new AnswerStore(study);
  const most = Math.max(...study.trials.map((trial) => trial.clips.length));
  const session = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const page = new AskingPage(study, store, ["start", "taken", "ask", "done"]);
  const { buttons } = page;
  let player;
  let place = 0; // of the prompt that is asked
  let shown = 0; // when it was shown
  let busy = true; // the clips are not there yet
  let given = 0; // answers since the page was opened
  let picked = new Set(); // clips chosen
  let none = false; // none of them, said so
  let steps = []; // choices before this one, of this prompt
  let history = []; // places answered since the page was opened, the last one last

  const total = () => study.forms[store.form].length;
  const ask = (number) => {
    const [trial, ...order] = study.forms[store.form][number];
    return { ...study.trials[trial], clips: order.map((clip) => study.trials[trial].clips[clip]) };
  };
  const answered = (number) => {
    const answer = store.answerTo(ask(number).id, "share");
    return answer && answer.chosen !== null ? answer : undefined;
  };
  const firstOpen = () => {
    for (let number = 0; number < total(); number++) if (!answered(number)) return number;
    return total();
  };
  const doneCount = () => study.forms[store.form].filter((_, number) => answered(number)).length;
  const counted = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

  function makeClips() {
    for (let number = 1; number <= most; number++) {
      const verdict = document.createElement("span");
      verdict.className = "verdict";
      page.addClip(`Clip ${number}`, `${number}`, [key(number), verdict], () => toggle(number - 1));
    }
    player = new Player(page.stages);
  }

  const changeBackground = () => page.setBackground(page.background + 1, at("still"));

  const backgroundName = () => (page.color === "checker" && dark.matches ? "checker, dark" : page.color);

  /* What was chosen and not yet saved outlives a crash of the browser, too. */
  const draftName = () => `${store.rater}/draft`;

  function keepDraft() {
    store.write(draftName(), { trial: ask(place).id, picked: [...picked], none });
  }

  function mark() {
    const { clips } = ask(place);
    buttons.forEach((button, index) => {
      const chosen = picked.has(clips[index]);
      button.setAttribute("aria-pressed", String(chosen));
      button.querySelector(".verdict").textContent = chosen ? "✓ would share" : "";
    });
    at("none").setAttribute("aria-pressed", String(none));
    // not `disabled`: a press says what is missing
    at("next").setAttribute("aria-disabled", String(!none && !picked.size));
    at("undo").disabled = !steps.length && !history.length;
  }

  async function show(number) {
    place = number;
    at("progress").max = total();
    at("progress").value = doneCount();
    at("progress").hidden = false;
    page.say("choice", "");
    if (number >= total()) return finish();
    busy = true;
    page.only("ask");
    const { id, clips, caption, caption_zh, still } = ask(number);
    const before = store.answers.findLast((answer) => answer.trial === id && answer.chosen !== null);
    const draft = store.read(draftName());
    const from = draft && draft.trial === id ? draft : before ? { picked: before.chosen, none: !before.chosen.length } : null;
    picked = new Set(from ? from.picked.filter((clip) => clips.includes(clip)) : []);
    none = Boolean(from && from.none && !picked.size);
    steps = [];
    at("progress-text").textContent = `Prompt ${number + 1} of ${total()} · ${store.rater}`;
    at("caption").textContent = caption;
    at("caption-zh").textContent = caption_zh || "";
    at("caption-zh").hidden = !caption_zh;
    const image = new Image();
    image.src = `stills/${still}.png`;
    image.alt = `Still: ${caption}`;
    at("still").replaceChildren(image);
    buttons.forEach((button, index) => {
      button.hidden = index >= clips.length;
      button.setAttribute("aria-label", `Clip ${index + 1} of ${clips.length}`);
    });
    const columns = clips.length <= 3 ? clips.length : clips.length === 4 ? 2 : 3;
    page.setColumns(columns, clips.length);
    mark();
    at("said").textContent = `Prompt ${number + 1} of ${total()}: ${caption}. ${counted(clips.length, "clip")}.`;
    const same = player.names.join() === clips.join();
    if (same || (await page.play(player.show(clips)))) {
      if (place !== number) return;
      busy = false;
      shown = performance.now();
      if (number + 1 < total()) player.prepare(ask(number + 1).clips);
    }
  }

  function change(work, text) {
    if (busy || at("ask").hidden) return;
    steps.push({ picked: new Set(picked), none });
    work();
    page.say("choice", "");
    keepDraft();
    mark();
    at("said").textContent = text();
  }

  function toggle(index) {
    const clip = ask(place).clips[index];
    if (!clip) return;
    change(
      () => {
        if (!picked.delete(clip)) picked.add(clip);
        none = false;
      },
      () => `Clip ${index + 1}: ${picked.has(clip) ? "would share" : "not chosen"}. ${picked.size} chosen.`,
    );
  }

  function toggleNone() {
    change(
      () => {
        none = !none;
        if (none) picked = new Set();
      },
      () => (none ? "None of them." : "Nothing is chosen."),
    );
  }

  function add(chosen) {
    const { id, clips } = ask(place);
    store.add({
      trial: id,
      question: "share",
      chosen,
      shown: clips,
      background: backgroundName(),
      ms: chosen === null ? 0 : Math.round(performance.now() - shown),
      time: new Date().toISOString(),
      session,
    });
    store.write(draftName(), null);
  }

  function next() {
    if (busy || at("ask").hidden) return;
    if (!none && !picked.size) return page.say("choice", "Choose at least one clip, or 0: I wouldn’t share any of these.");
    given++;
    add(ask(place).clips.filter((clip) => picked.has(clip)));
    history.push(place);
    show(firstOpen());
  }

  /* The last choice of this prompt, or the last answer, which is then open again with its choice as it was. */
  function undo() {
    if (at("ask").hidden && at("done").hidden) return;
    if (steps.length) {
      ({ picked, none } = steps.pop());
      keepDraft();
      mark();
      at("said").textContent = none ? "None of them." : `${picked.size} chosen.`;
      return;
    }
    if (!history.length) return;
    place = history.pop();
    add(null);
    show(place);
  }

  function restart() {
    if (busy) show(place);
    else page.play(player.restart());
  }

  function finish() {
    page.only("done");
    at("progress-text").textContent = `Done · ${store.rater}`;
    const all = study.forms[store.form].map((_, number) => answered(number));
    const shared = all.reduce((sum, answer) => sum + answer.chosen.length, 0);
    const clips = study.trials.reduce((sum, trial) => sum + trial.clips.length, 0);
    at("done-count").textContent = `You would share ${shared} of ${counted(clips, "clip")} of ${counted(total(), "prompt")}.`;
    at("done-undo").disabled = !history.length;
    steps = [];
    tellDone();
    at("done-title").focus();
    if (!store.server && given) store.download();
  }

  function tellDone() {
    page.tellDone("Your answers", "Your last answers");
  }

  function act(pressed) {
    if (/^[1-9]$/.test(pressed)) return toggle(Number(pressed) - 1);
    switch (pressed.length === 1 ? pressed.toLowerCase() : pressed) {
      case "0":
        return toggleNone();
      case "Enter":
        return next();
      case "z":
        return undo();
      case "b":
        return changeBackground();
      case "r":
        return restart();
      case "ArrowLeft":
      case "ArrowRight": {
        const step = pressed === "ArrowLeft" ? -1 : 1;
        const count = ask(place).clips.length;
        const now = buttons.indexOf(document.activeElement);
        return buttons[now < 0 ? (step < 0 ? count - 1 : 0) : (now + step + count) % count].focus();
      }
    }
  }

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || at("help").open) return;
    if (!at("done").hidden && event.key.toLowerCase() === "z") return undo();
    if (at("ask").hidden) return;
    if (event.key === "?") {
      event.preventDefault();
      return at("help").showModal();
    }
    // Enter goes on from a clip that was clicked, too; a tool that has the focus is pressed by Enter itself
    if (event.key === "Enter" && event.target.closest("button:not(.clip):not(#none)")) return;
    if (!/^([0-9]|Enter|[bBrRzZ]|Arrow(Left|Right))$/.test(event.key)) return;
    event.preventDefault();
    if (!event.repeat) act(event.key);
  }

  function goOn() {
    document.activeElement.blur();
    // in the order in which they were given, so that Z also takes back what was answered before a reload
    const times = study.forms[store.form].map((_, number) => [answered(number)?.time, number]);
    history = times.filter(([time]) => time !== undefined).sort(([one], [other]) => (one < other ? -1 : 1)).map(([, number]) => number);
    show(firstOpen());
  }

  async function begin(event) {
    if (!(await page.begin(event))) return;
    const others = store.elsewhere.length;
    if (!others || store.answers.length > others) return goOn();
    // given in another browser: the same person, or another one of that name
    const last = new Date(store.elsewhere.at(-1).time);
    const when = Number.isNaN(last.getTime()) ? "" : `, last on ${last.toLocaleString()}`;
    at("taken-title").textContent = `Somebody called “${store.rater}” is reviewing already`;
    at("taken-text").textContent =
      `${doneCount()} of ${counted(total(), "prompt")} answered in another browser${when}. If that was you, go on where you stopped. ` +
      "If not, take another name: two people must not answer under one.";
    page.only("taken");
    at("taken-title").focus();
  }

  function takeAnother() {
    store.forget();
    at("rater").value = "";
    at("begin-button").textContent = "Begin";
    page.only("start");
    at("rater").focus();
  }

  async function start() {
    makeClips();
    page.setBackground(0, at("still"));
    at("help-digits").replaceChildren(key(1), " to ", key(most));
    at("task").textContent =
      `You will see ${counted(total(), "prompt")}, each with ${most === 1 ? "one clip" : `up to ${most} clips`} of one still picture, in ` +
      "random order. Choose any number of clips that you would send to a friend, or none. By touch, by click, or by keys: digits " +
      "choose, Enter goes on, Z undoes; ? lists all keys.";
    at("taken-mine").addEventListener("click", goOn);
    at("taken-other").addEventListener("click", takeAnother);
    at("none").addEventListener("click", toggleNone);
    at("next").addEventListener("click", next);
    at("undo").addEventListener("click", undo);
    at("done-undo").addEventListener("click", undo);
    const onTrouble = (text) => {
      if (!at("done").hidden) tellDone();
      if (!text && page.failed && !at("ask").hidden) restart(); // the server is back
    };
    await page.open({ begin, restart, changeBackground, onKey, onTrouble });
  }

  start();
})();
