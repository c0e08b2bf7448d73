// An upload under way: how far it is, what became of each file, and the exams when they are there.

import * as api from "./api.js";
import { announce, h, number, t } from "./dom.js";
import { examRow, nameOf } from "./exam.js";
import { ofRows, pagedList } from "./list.js";
import { size, studyLine } from "./plan.js";

const REDRAW = 500;
const BAD = ["rejected", "failed", "changed", "partly-stored"];
// The PACS lists an exam a moment after it has its files.
const LOOK_AGAIN = 1500;
const LOOKS = 20;

export function runView(upload, plan, again) {
  const files = new Map(plan.files.map((file) => [file.path, { ...file, state: "waiting" }]));
  const bar = h("progress", { max: plan.bytes || 1, value: 0, "aria-label": t("progress") });
  const facts = h("p", { class: "facts" });
  const trouble = h("p", { class: "message", role: "alert" });
  const title = h("h2", {}, t("sendingNow"));
  const control = h("div", { class: "actions" });
  const exams = h("ul", { class: "rows arrived" });
  const row = (file) => fileRow(file);
  const list = pagedList({ load: (...page) => ofRows(inOrder(files))(...page), row, empty: "", label: t("files") });
  let dirty;

  // Drawn while somebody may look at it.
  function draw() {
    clearTimeout(dirty);
    dirty = undefined;
    if (panel.open) list.again();
  }

  const soon = () => panel.isConnected && (dirty ??= setTimeout(draw, REDRAW));

  const button = (key, work) => h("button", { type: "button", onclick: work }, t(key));
  function controls() {
    const { state } = upload;
    const found = [];
    if (state === "running") found.push(button("pause", () => upload.pause()));
    if (state === "paused") found.push(button("resume", () => upload.resume()));
    if (["running", "paused"].includes(state)) found.push(button("cancelUpload", () => upload.cancel()));
    if (["done", "cancelled"].includes(state)) found.push(button("saveReport", () => saveReport(upload.report)), button("bringMore", () => again()));
    control.replaceChildren(...found);
  }

  upload.addEventListener("state", ({ detail: { state, reason } }) => {
    trouble.textContent = state === "paused" && reason !== "asked" ? t(`paused_${reason}`) : "";
    title.textContent = state === "paused" ? t("pausedNow") : title.textContent;
    if (state === "running") title.textContent = t("sendingNow");
    controls();
  });
  upload.addEventListener("progress", ({ detail }) => {
    bar.max = detail.bytes || 1;
    bar.value = detail.bytesSent;
    facts.textContent = said(detail);
  });
  upload.addEventListener("file", ({ detail }) => {
    files.set(detail.path, { ...files.get(detail.path), ...detail });
    soon();
  });
  upload.addEventListener("done", ({ detail }) => {
    const bad = detail.files.filter(({ state }) => BAD.includes(state)).length;
    title.textContent = upload.state === "cancelled" ? t("cancelledNow") : bad ? t("doneWithProblems", { count: number(bad) }) : t("doneAll");
    announce(title.textContent);
    draw();
    showExams(exams, detail.studies);
  });
  controls();
  const patients = plan.patients.flatMap((patient) => patient.studies.map((study) => h("p", {}, h("strong", {}, nameOf(patient.name)), ` ${studyLine(study)}`)));
  const head = h("section", { class: "card", "aria-live": "off" }, title, ...patients, bar, facts, trouble, control);
  const panel = h("details", { class: "card", ontoggle: draw }, h("summary", {}, t("files")), skippedNote(plan), list.element);
  return h("div", { class: "running" }, head, exams, panel);
}

// What needs somebody first.
function inOrder(files) {
  const all = [...files.values()];
  const rank = ({ state }) => (BAD.includes(state) ? 0 : state === "stored" ? 2 : 1);
  return all.sort((a, b) => rank(a) - rank(b) || (a.path < b.path ? -1 : 1));
}

function said({ files, filesEnded, filesResumed, bytes, bytesSent, secondsLeft, retrying }) {
  const left = secondsLeft && bytesSent < bytes ? t("secondsLeft", { count: number(Math.ceil(secondsLeft)) }) : "";
  const known = filesResumed ? t("wereSent", { count: number(filesResumed) }) : "";
  const tried = retrying ? t("tryingAgain") : "";
  return [t("filesOf", { done: number(filesEnded), of: number(files) }), t("bytesOf", { done: size(bytesSent), of: size(bytes) }), left, known, tried].filter(Boolean).join(" · ");
}

function fileRow({ path, size: bytes, state, reason, detail }) {
  const why = BAD.includes(state) ? [reason, detail].filter(Boolean).join(": ") : "";
  return h("div", { class: "file", "data-state": state }, h("span", { class: "path" }, path), h("span", { class: "soft" }, size(bytes)), h("span", { class: "state" }, t(`file_${state}`)), why ? h("p", { class: "message" }, why) : null);
}

function skippedNote({ skipped }) {
  if (!skipped.length) return null;
  const rows = skipped.slice(0, 100).map(({ path, reason }) => h("li", {}, `${path} (${t(`skipped_${reason}`)})`));
  return h("details", {}, h("summary", {}, t("skipped", { count: number(skipped.length) })), h("ul", {}, ...rows));
}

function saveReport(report) {
  const url = URL.createObjectURL(new Blob([JSON.stringify(report, null, 1)], { type: "application/json" }));
  h("a", { href: url, download: "upload-report.json" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

async function showExams(place, studies) {
  for (const uid of studies) {
    for (let look = 0; look < LOOKS; look += 1) {
      const exam = await api.exam(uid).catch(() => null);
      if (exam) {
        place.append(h("li", {}, examRow(exam)));
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN));
    }
  }
}
