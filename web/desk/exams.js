// Finding exams.

import * as api from "./api.js";
import { h, t } from "./dom.js";
import { examRow } from "./exam.js";
import { pagedList } from "./list.js";

// Kept while the page lives: who comes back to the list finds it as it was.
const asked = {};

const FIELDS = [
  ["patientName", "text"],
  ["patientID", "text"],
  ["accessionNumber", "text"],
  ["modality", "text"],
  ["from", "date"],
  ["to", "date"],
];

function field([name, type]) {
  const input = h("input", { id: `find-${name}`, name, type, value: asked[name] ?? "", autocomplete: "off", spellcheck: false });
  return h("div", {}, h("label", { for: `find-${name}` }, t(`find_${name}`)), input);
}

// Part of a name is enough, unless the caller says otherwise with wildcards of its own.
function filters() {
  const { patientName, modality, ...rest } = asked;
  const name = patientName && !/[*?]/.test(patientName) ? `*${patientName.replace(/[\s,]+/g, "*")}*` : patientName;
  return { ...rest, patientName: name, modality: modality?.toUpperCase() };
}

export function examsView({ signal }) {
  const load = (offset, limit, stop) => api.findExams(filters(), { offset, limit, signal: stop });
  const list = pagedList({ load, row: (exam) => examRow(exam, signal), empty: t("noExams"), signal, label: t("view_exams") });
  const form = h(
    "form",
    { class: "card find", role: "search", onsubmit: submit },
    h("div", { class: "fields" }, ...FIELDS.map(field)),
    h("button", { class: "primary", type: "submit" }, t("find")),
  );

  function submit(event) {
    event.preventDefault();
    for (const [name] of FIELDS) asked[name] = form.elements[name].value.trim();
    list.show();
  }

  list.show();
  return h("main", { class: "view" }, h("h1", { tabindex: "-1" }, t("view_exams")), form, list.element);
}
