// One exam as a row of a list: what it is, and what can be done with it.

import * as api from "./api.js";
import { day, h, moment, number, personName, t } from "./dom.js";
import { thumbnail } from "./pictures.js";
import { mayChange } from "./session.js";

export const listed = (value) => (Array.isArray(value) ? value : value ? [value] : []);

// PN as one text: alphabetic=ideographic=phonetic.
export function nameOf(text) {
  const [Alphabetic, Ideographic] = (text ?? "").split("=");
  return personName({ Alphabetic, Ideographic }) || t("noName");
}

// What identifies an exam to a person, in two lines.
export function describe(exam) {
  const born = day(exam.PatientBirthDate);
  const who = [exam.PatientID, born && t("born", { day: born })].filter(Boolean).join(" · ");
  const images = exam.NumberOfStudyRelatedInstances;
  const what = [
    day(exam.StudyDate),
    listed(exam.ModalitiesInStudy).join(", "),
    exam.StudyDescription,
    exam.AccessionNumber && t("accession", { number: exam.AccessionNumber }),
    images && t("images", { count: number(images) }),
  ];
  return [h("p", { class: "soft" }, who), h("p", {}, what.filter(Boolean).join(" · "))];
}

export function examRow(exam, signal) {
  const uid = exam.StudyInstanceUID;
  const name = nameOf(exam.PatientName);
  const more = h("div", { class: "more" });
  const of = (key) => ({ "aria-label": `${t(key)}: ${name}, ${day(exam.StudyDate)}` });
  const viewer = new URL(`viewer/viewer?StudyInstanceUIDs=${uid}`, api.base).href;
  // With its opener the new tab has this tab's session.
  const open = h("a", { class: "button", href: viewer, target: "_blank", rel: "opener", ...of("openViewer") }, t("openViewer"));
  const actions = [
    open,
    mayChange() ? h("a", { class: "button", href: `#share/${uid}`, ...of("share") }, t("share")) : null,
    h("button", { type: "button", onclick: () => showAccesses(uid, more), ...of("whoSaw") }, t("whoSaw")),
    mayChange() ? h("button", { type: "button", onclick: () => fetchArchive(uid, more, signal), ...of("asZip") }, t("asZip")) : null,
  ];
  return h(
    "article",
    { class: "exam-row", "data-study": uid },
    thumbnail(uid, signal),
    h("div", { class: "about" }, h("h2", {}, name), ...describe(exam)),
    h("div", { class: "actions" }, ...actions),
    more,
  );
}

function said(place, text) {
  place.replaceChildren(h("p", { role: "status" }, text));
}

const saying = (error) => (error.isTemporary === false ? error.message : t("notNow"));

// A newer service may record what this page has no word for.
function did(action) {
  const known = t(`did_${action}`);
  return known.startsWith("did_") ? t("did_other") : known;
}

async function showAccesses(uid, place) {
  said(place, t("loading"));
  try {
    const found = await api.accesses(uid);
    if (!found.length) return said(place, t("nobodySaw"));
    const rows = found.map((access) =>
      h("tr", {}, h("td", {}, moment(access.at, "short")), h("td", {}, access.who), h("td", {}, did(access.action)), h("td", {}, number(access.count))),
    );
    const heads = ["when", "who", "what", "times"].map((key) => h("th", { scope: "col" }, t(key)));
    const table = h("table", {}, h("caption", {}, t("whoSaw")), h("thead", {}, h("tr", {}, ...heads)), h("tbody", {}, ...rows));
    place.replaceChildren(h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": t("whoSaw") }, table));
  } catch (error) {
    said(place, saying(error));
  }
}

const ASK_EVERY = 2000;

async function fetchArchive(uid, place, signal) {
  said(place, t("preparing"));
  try {
    await api.askForArchive(uid);
    for (;;) {
      const archive = await api.archive(uid);
      if (archive.url) {
        said(place, t("downloading"));
        h("a", { href: archive.url, rel: "noreferrer" }).click();
        return;
      }
      if (["failed", "cancelled"].includes(archive.state)) return said(place, t("downloadFailed"));
      if (archive.instances) said(place, t("prepared", { done: number(archive.done), of: number(archive.instances) }));
      await new Promise((resolve) => setTimeout(resolve, ASK_EVERY));
      if (signal?.aborted) return;
    }
  } catch (error) {
    said(place, saying(error));
  }
}
