// One exam: who and what, reports first, then the series and the stack of the one that was chosen.

import { accessList } from "./accesses.js";
import * as api from "./api.js";
import { day, h, number, personName, t, value } from "./dom.js";
import { downloadButton } from "./download.js";
import { isReport, reportList } from "./report.js";
import { Stack } from "./stack.js";

const NO_IMAGES = ["SR", "KO", "PR", "DOC", "AU", "ECG", "EPS", "HD", "PLAN", "RTPLAN", "RTSTRUCT", "REG", "FID"];
const PDF_AND_SR = ["SR", "DOC", "OT"];
let stack;
let closed = [];

export function closeExam() {
  stack?.close();
  stack = undefined;
  closed.forEach((close) => close());
  closed = [];
}

const count = (series) => Number(value(series, "00201209") ?? 0);
const modality = (series) => value(series, "00080060") ?? "";
const hasImages = (series) => !NO_IMAGES.includes(modality(series));

export function kind(code) {
  const known = t(`modality${code}`);
  return known.startsWith("modality") ? code : known;
}

// The view of the exam; `over` is called when the access has ended.
export function examView(access, over) {
  closeExam();
  const title = h("h1", { tabindex: "-1" }, t("exam"));
  const facts = h("p", { class: "facts" });
  const problem = h("div", { class: "message", role: "alert" });
  const reports = h("section", { class: "reports", "aria-label": t("reports"), hidden: true });
  const strip = h("ul", { class: "strip", "aria-label": t("series") });
  const place = h("section", { class: "stage-place", "aria-label": t("pictures") });
  // What is under way when the page goes on to something else, the end or another exam, says nothing any more.
  const failed = (error) => {
    if (!view.isConnected) return;
    if (error instanceof api.Over) return over();
    problem.replaceChildren(h("p", {}, t("notNow")), h("button", { onclick: load }, t("again")));
  };

  const head = h("div", { class: "head" }, h("div", {}, title, facts), actions(access, failed));
  const view = h("main", { class: "exam" }, head, problem, reports, strip, place, h("p", { class: "hint" }, t("notice")), access.showAccesses ? accessList(failed) : null);

  async function load() {
    problem.replaceChildren();
    place.replaceChildren(h("p", { class: "hint", role: "status" }, t("loading")));
    const first = api.thumbnail(null, 512, "high").catch(() => null);
    api.study().then((study) => describe(study, title, facts), failed);
    try {
      const all = await api.series();
      if (!view.isConnected) return;
      // Reports are listed by their instances, so they are looked up before anything large is.
      closed.push(reportList(reports, all.filter((one) => PDF_AND_SR.includes(modality(one))), failed));
      showSeries(all.filter(hasImages), strip, place, first, failed);
    } catch (error) {
      place.replaceChildren();
      failed(error);
    }
  }
  load();
  return view;
}

function describe(study, title, facts) {
  const name = personName(value(study, "00100010"));
  title.replaceChildren(h("bdi", {}, value(study, "00081030") || t("exam")));
  const parts = [
    name && h("bdi", { class: "patient" }, name),
    day(value(study, "00080020")),
    (study["00080061"]?.Value ?? []).map(kind).join(", "),
  ];
  facts.replaceChildren(...parts.filter(Boolean).flatMap((part, at) => (at ? [" · ", part] : [part])));
}

function actions(access, failed) {
  const list = h("div", { class: "actions" });
  if (access.role === "diagnostic") {
    const query = new URLSearchParams({ StudyInstanceUIDs: access.studyUID });
    list.append(h("a", { class: "button wide-only", href: new URL(`viewer/viewer?${query}`, api.base).href }, t("viewer")));
  }
  if (access.download) list.append(...downloadButton(failed));
  return list;
}

function showSeries(all, strip, place, first, failed) {
  if (!all.length) {
    place.replaceChildren(h("p", { class: "card" }, t("noPictures")));
    return;
  }
  const largest = all.reduce((best, one) => (count(one) > count(best) ? one : best));
  const buttons = new Map();
  const choose = (series, early) => {
    for (const [one, button] of buttons) button.setAttribute("aria-pressed", String(one === series));
    showStack(series, place, early, failed);
  };
  for (const series of all) {
    const button = seriesButton(series, () => choose(series));
    buttons.set(series, button);
    strip.append(h("li", {}, button));
  }
  choose(largest, first);
  strip.hidden = all.length === 1;
  if (!strip.hidden) drawWhenSeen(buttons);
}

// The pictures of the strip, each once it comes into view: after what the stack asks for, and not all at once.
function drawWhenSeen(buttons) {
  const uids = new Map([...buttons].map(([series, button]) => [button, value(series, "0020000E")]));
  const draw = async (button) => {
    const { blob } = await api.thumbnail(uids.get(button), 128, "low");
    if (blob) button.querySelector(".thumb").append(await drawn(blob));
  };
  const seen = new IntersectionObserver((entries) => {
    for (const { target } of entries.filter((entry) => entry.isIntersecting)) {
      seen.unobserve(target);
      draw(target).catch(() => {});
    }
  });
  for (const button of buttons.values()) seen.observe(button);
  closed.push(() => seen.disconnect());
}

function seriesButton(series, onclick) {
  const label = value(series, "0008103E") || kind(modality(series));
  const image = h("span", { class: "thumb" });
  const text = h("span", {}, h("bdi", {}, label), h("span", { class: "hint" }, ` ${number(count(series))}`));
  return h("button", { class: "series", "aria-pressed": "false", onclick }, image, text);
}

async function drawn(blob) {
  const bitmap = await createImageBitmap(blob);
  const canvas = h("canvas", { width: bitmap.width, height: bitmap.height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas;
}

async function showStack(series, place, early, failed) {
  stack?.close();
  const mine = new Stack({ isCt: modality(series) === "CT", failed, label: value(series, "0008103E") || kind(modality(series)) });
  stack = mine;
  place.replaceChildren(mine.view);
  early?.then((found) => found?.blob && mine === stack && mine.showEarly(found));
  try {
    const rows = (await api.instances(value(series, "0020000E"))).filter((row) => !isReport(row));
    if (mine === stack) mine.open(slicesOf(series, rows));
  } catch (error) {
    if (mine === stack) failed(error);
  }
}

// One entry for each frame, in the order of InstanceNumber, as the service chooses the middle one of a series.
function slicesOf(series, rows) {
  const order = (row) => Number(value(row, "00200013") ?? 0);
  const uid = (row) => value(row, "00080018") ?? "";
  const sorted = rows.sort((a, b) => order(a) - order(b) || (uid(a) < uid(b) ? -1 : 1));
  return sorted.flatMap((row) => {
    const frames = Math.max(1, Number(value(row, "00280008") ?? 1));
    const pixels = Math.max(Number(value(row, "00280010") ?? 0), Number(value(row, "00280011") ?? 0));
    return Array.from({ length: frames }, (_, at) => ({
      series: value(series, "0020000E"),
      instance: uid(row),
      frame: frames > 1 ? at + 1 : null,
      pixels,
    }));
  });
}
