// The list of jobs as the server has it: asked for again and again, quickly while something runs.

import { ask } from "./api.js";
import { $, h, seconds, wrong } from "./dom.js";

const listeners = [];
let jobs = [];
let timer = null;
let asking = false;

export const all = () => jobs;
export const byId = (id) => jobs.find((job) => job.id === id);
export const isOver = (job) => ["done", "failed", "canceled"].includes(job.state);

/** Call `listener` after each change, and now. */
export function watch(listener) {
  listeners.push(listener);
  if (jobs.length) listener(jobs);
}

/** Ask now; also called when a job was added. */
export async function refresh() {
  clearTimeout(timer);
  if (!asking) {
    asking = true;
    try {
      jobs = await ask("/v1/jobs");
      $("lost").hidden = true;
    } catch (error) {
      $("lost").textContent = `${error.message} Trying again ...`;
      $("lost").hidden = false;
    }
    asking = false;
    show();
    for (const listener of listeners) listener(jobs);
  }
  clearTimeout(timer);
  timer = setTimeout(refresh, jobs.some((job) => !isOver(job)) ? 600 : 3000);
}

export async function cancel(job) {
  try {
    await ask(`/v1/jobs/${job.id}/cancel`, { method: "POST" });
  } catch (error) {
    wrong(error);
  }
  refresh();
}

export async function remove(job) {
  try {
    await ask(`/v1/jobs/${job.id}`, { method: "DELETE" });
  } catch (error) {
    if (error.status !== 404) wrong(error);
  }
  refresh();
}

/** State of a job in words. */
export function told(job) {
  if (job.state === "waiting") return job.ahead ? `waiting, ${job.ahead} before it` : "waiting";
  if (job.state === "running") {
    const left = job.seconds_left ? `, about ${seconds(job.seconds_left)} left` : "";
    const steps = /\d$/.test(job.what) ? `, ${Math.round((100 * job.done) / job.total)} %` : ` ${job.done} of ${job.total}`;
    return `${job.what || "running"}${job.total > 1 ? steps : ""}${left}`;
  }
  if (job.state === "failed") return job.error || "failed";
  return job.state === "done" ? `done in ${seconds(job.seconds)}` : "canceled";
}

const KINDS = { cutout: "Cut out", generate: "Generate", animate: "Animate", pack: "Pack" };

function show() {
  const active = jobs.filter((job) => !isOver(job));
  $("activity-dot").hidden = !active.length;
  document.title = active.length ? `(${active.length}) glassine` : "glassine";
  if ($("activity").hidden) return;
  const rows = [...active.reverse(), ...jobs.filter(isOver).slice(0, 30)].map((job) =>
    h("li", {},
      h("span", { class: "name" }, `${KINDS[job.kind] || job.kind}: ${job.title}`),
      h("span", { class: "soft small" }, told(job)),
      isOver(job) ? null : h("div", { class: "row" },
        h("progress", { class: "grow", max: Math.max(1, job.total), value: job.done, "aria-label": `Progress of ${job.title}` }),
        h("button", { type: "button", onclick: () => cancel(job), "aria-label": `Cancel ${job.title}` }, "Cancel")),
    ));
  const focused = document.activeElement?.getAttribute("aria-label");
  $("activity-list").replaceChildren(...(rows.length ? rows : [h("li", { class: "soft" }, "Nothing yet.")]));
  if (focused) [...$("activity-list").querySelectorAll("button")].find((one) => one.ariaLabel === focused)?.focus();
}

$("activity-button").addEventListener("click", () => {
  const open = $("activity").hidden;
  $("activity").hidden = !open;
  $("activity-button").setAttribute("aria-expanded", String(open));
  show();
});
addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || $("activity").hidden) return;
  $("activity").hidden = true;
  $("activity-button").setAttribute("aria-expanded", "false");
  $("activity-button").focus();
});
