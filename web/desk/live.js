// What happens now: exams that arrive, links that are opened, workitems that are done, as the change feed tells it.

import * as api from "./api.js";
import { announce, format, h, t } from "./dom.js";
import { examRow, nameOf } from "./exam.js";
import * as feed from "./feed.js";

const SHOWN = 100;

export function liveView({ signal }) {
  const rows = h("ul", { class: "rows", "aria-label": t("view_live") });
  const hint = h("p", { class: "said" }, t("liveHint"));
  for (const event of [...feed.happened].reverse()) add(event);
  feed.listen(add, signal);

  function add(event) {
    const row = rowOf(event, signal);
    if (!row) return;
    rows.prepend(row);
    while (rows.childElementCount > SHOWN) rows.lastElementChild.remove();
  }

  return h("main", { class: "view" }, h("h1", { tabindex: "-1" }, t("view_live")), hint, rows);
}

function rowOf({ type, timestamp, data }, signal) {
  const when = format(Intl.DateTimeFormat, { timeStyle: "short" }).format(new Date(timestamp));
  const row = h("li", {});
  if (type === "Exam Uploaded") {
    row.append(h("p", { class: "soft" }, when, " · ", t("arrived")));
    showExam(row, data.StudyInstanceUID, signal);
  } else if (type === "OTP Redeemed") {
    row.append(h("p", {}, when, " · ", h("a", { href: `#share/${data.studyUID}` }, t("openedNow"))));
  } else if (type === "Workitem Completed") {
    row.append(h("p", {}, when, " · ", h("a", { href: "#worklist" }, t("doneNow", { number: data.AccessionNumber }))));
  } else return null;
  return row;
}

async function showExam(row, uid, signal) {
  try {
    const exam = await api.exam(uid, signal);
    row.append(examRow(exam, signal));
    announce(t("arrivedOf", { name: nameOf(exam.PatientName) }));
  } catch (error) {
    if (error.name !== "AbortError") row.append(h("p", {}, t("notShownNow")));
  }
}
