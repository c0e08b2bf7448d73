// What was chosen, where somebody has to decide: whose exams are meant.

import { day, format, h, number, t } from "./dom.js";
import { nameOf } from "./exam.js";

export function size(bytes) {
  const [unit, factor] = bytes < 1e6 ? ["kilobyte", 1e3] : bytes < 1e9 ? ["megabyte", 1e6] : ["gigabyte", 1e9];
  return format(Intl.NumberFormat, { style: "unit", unit, maximumFractionDigits: 1 }).format(bytes / factor);
}

export function studyLine({ date, modalities, description, images, bytes }) {
  return [day(date), modalities.join(", "), description, t("images", { count: number(images) }), size(bytes)].filter(Boolean).join(" · ");
}

// `send` gets the plan without what was not chosen.
export function planView(plan, send, stop) {
  const message = h("div", { class: "message", role: "alert" });
  const studies = plan.patients.flatMap((patient) => patient.studies.map((study) => ({ patient, study })));
  const boxes = studies.map(({ study }, at) => h("input", { type: "checkbox", id: `plan-${at}`, value: study.studyInstanceUID }));
  const rows = plan.patients.map((patient) => {
    const own = boxes.filter((_, at) => studies[at].patient === patient);
    const lines = own.map((box) => {
      const { study } = studies[boxes.indexOf(box)];
      return h("div", { class: "check" }, box, h("label", { for: box.id }, studyLine(study)));
    });
    const born = day(patient.birthDate);
    const legend = [nameOf(patient.name), patient.id, born && t("born", { day: born })].filter(Boolean).join(" · ");
    return h("fieldset", { class: "card" }, h("legend", {}, legend), ...lines);
  });
  // Files without a study, and ZIPs, belong to nobody that could be chosen.
  const rest = plan.files.filter((file) => !file.study).length;
  const others = h("input", { type: "checkbox", id: "plan-rest", checked: true });
  const restRow = rest ? h("div", { class: "check" }, others, h("label", { for: "plan-rest" }, t("alsoOthers", { count: number(rest) }))) : null;

  function go(event) {
    event.preventDefault();
    const chosen = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const files = plan.files.filter((file) => (file.study ? chosen.has(file.study) : others.checked));
    if (files.length && chosen.size) return send({ ...plan, files });
    message.replaceChildren(h("p", {}, t("chooseOne")));
  }

  return h(
    "form",
    { class: "plan", onsubmit: go },
    h("h2", {}, t("severalPatients")),
    h("p", {}, t("severalPatientsHow")),
    ...rows,
    restRow,
    h("div", { class: "actions" }, h("button", { class: "primary", type: "submit" }, t("sendChosen")), h("button", { type: "button", onclick: () => stop() }, t("sendNothing"))),
    message,
  );
}
