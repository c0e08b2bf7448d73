// Bringing exams in: what was chosen is read first, then sent straight to S3 (web/upload), and each file's fate is shown.

import * as api from "./api.js";
import { filesDropped, filesOf, inspect, openStore, serviceApi, Upload } from "./engine.js";
import { announce, h, moment, t } from "./dom.js";
import { planView } from "./plan.js";
import { rest } from "./rest.js";
import { runView } from "./run.js";
import { lastSession, session } from "./session.js";

const ASK_FIRST = ["SEVERAL_PATIENTS", "STUDY_OF_SEVERAL_PATIENTS"];

// One for the page: an upload goes on while another view is looked at.
let element = null;
let running = null;
let store = null;

export function bringView() {
  element ??= make();
  return element;
}

addEventListener("beforeunload", (event) => {
  // Who has signed out is not asked: what is shown has to go.
  if (lastSession() && running && !["done", "cancelled"].includes(running.state)) event.preventDefault();
});
// Signed in again after the session had ended meanwhile.
addEventListener("signedin", () => {
  if (running?.state === "paused" && running.reason !== "asked") running.resume();
});

function make() {
  const place = h("div", { class: "bringing" });
  const folder = h("input", { type: "file", webkitdirectory: true, hidden: true, "aria-label": t("chooseFolder"), onchange: chosen });
  const files = h("input", { type: "file", multiple: true, hidden: true, "aria-label": t("chooseFiles"), onchange: chosen });
  const pick = (input, key, kind) => h("button", { type: "button", class: kind, onclick: () => input.click() }, t(key));
  const zone = h(
    "section",
    { class: "card zone", "aria-label": t("view_bring"), ondragover: over, ondragleave: left, ondrop: dropped },
    h("p", {}, t("dropHere")),
    h("div", { class: "actions" }, pick(folder, "chooseFolder", "primary"), pick(files, "chooseFiles"), folder, files),
    h("p", { class: "hint" }, t("dropHint")),
  );

  function over(event) {
    event.preventDefault();
    zone.classList.add("over");
  }

  function left() {
    zone.classList.remove("over");
  }

  function dropped(event) {
    event.preventDefault();
    left();
    take(filesDropped(event.dataTransfer.items));
  }

  function chosen(event) {
    take(filesOf(event.target.files));
    event.target.value = "";
  }

  async function take(given) {
    zone.hidden = true;
    const said = h("p", { role: "status" }, t("reading"));
    place.replaceChildren(said);
    const onProgress = ({ done, of }) => (said.textContent = t("readingOf", { done, of }));
    try {
      const plan = await inspect(await given, { onProgress });
      if (!plan.files.length) again(h("p", { role: "alert" }, t("nothingToSend")));
      else if (plan.warnings.some(({ code }) => ASK_FIRST.includes(code))) place.replaceChildren(planView(plan, send, again));
      else send(plan);
    } catch {
      again(h("p", { role: "alert" }, t("cannotRead")));
    }
  }

  async function send(plan) {
    // The button goes at once: pressed twice, it would send everything twice.
    place.replaceChildren(h("p", { role: "status" }, t("sendingNow")));
    store ??= await openStore(`desk ${session().name}`).catch(() => null);
    running = new Upload({ api: serviceApi(api.base, () => session()?.accessToken), plan, store });
    // The press of the button and the view of the upload are a task each.
    await rest();
    running.addEventListener("state", ({ detail }) => detail.reason === "signed-out" && api.sessionOver());
    place.replaceChildren(runView(running, plan, again));
    running.start();
    announce(t("sendingNow"));
  }

  function again(...shown) {
    zone.hidden = false;
    place.replaceChildren(...shown);
  }

  // Not over what was chosen before it was known.
  offerInterrupted((...shown) => place.hasChildNodes() || again(...shown));
  return h("main", { class: "view" }, h("h1", { tabindex: "-1" }, t("view_bring")), zone, place);
}

// What a tab that was closed had not sent: choosing the same folder again goes on there.
async function offerInterrupted(show) {
  store = await openStore(`desk ${session().name}`).catch(() => null);
  const found = (await store?.interrupted()) ?? [];
  if (!found.length || running) return;
  const rows = found.map(({ job, files, sent, startedAt }) => {
    const row = h("li", { class: "card" }, h("p", {}, t("interrupted", { sent, files, when: moment(startedAt) })));
    const giveUp = async () => {
      await store.forget(job);
      row.remove();
    };
    row.append(h("button", { type: "button", onclick: giveUp }, t("giveUp")));
    return row;
  });
  show(h("ul", { class: "rows" }, ...rows));
}
