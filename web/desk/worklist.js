// The worklist of a day, station by station; what is done elsewhere shows by itself.

import * as api from "./api.js";
import { h, number, t } from "./dom.js";
import { nameOf } from "./exam.js";
import * as feed from "./feed.js";
import { ofRows, pagedList } from "./list.js";
import { mayChange } from "./session.js";

const FIELDS = [
  ["PatientName", { maxLength: 64 }],
  ["PatientID", { maxLength: 64 }],
  ["PatientBirthDate", { type: "date", required: false }],
  ["AccessionNumber", { maxLength: 16 }],
  ["Modality", { maxLength: 16 }],
  ["ScheduledStationAETitle", { maxLength: 16 }],
  ["ScheduledProcedureStepDescription", { maxLength: 64 }],
  ["ScheduledProcedureStepStartDate", { type: "date" }],
  ["ScheduledProcedureStepStartTime", { type: "time" }],
];
const SETTLE = 400;

// A day of the calendar where this browser is, as 2026-01-31.
function localDay(date) {
  return `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, "0")}-${String(date.getDate()).padStart(2, "0")}`;
}

const plus = (text, days) => localDay(new Date(...text.split("-").map((part, at) => Number(part) - (at === 1 ? 1 : 0) + (at === 2 ? days : 0))));
const clock = (text) => (text ? `${text.slice(0, 2)}:${text.slice(2, 4) || "00"}` : "");
const saying = (error) => (error.isTemporary === false ? error.message : t("notNow"));

let chosenDay = null;

// Reads the workitems of a day. Answers come in any order: only that to the last question is taken.
function reader(signal, { taken, failed }) {
  let asked = null;
  signal.addEventListener("abort", () => asked?.abort());
  async function read(day) {
    asked?.abort();
    const mine = (asked = new AbortController());
    try {
      const items = await api.workitems(day, mine.signal);
      if (mine === asked) taken(sorted(items));
    } catch (error) {
      if (mine === asked && error.name !== "AbortError") failed(error);
    }
    if (mine === asked) asked = null;
  }
  return { read, isReading: () => asked !== null };
}

// Calls `again` a little after each change of a workitem, but not while `isInUse`.
function whenChanged(again, isInUse, signal) {
  let soon;
  const look = () => (isInUse() ? later() : again());
  function later() {
    clearTimeout(soon);
    soon = setTimeout(look, SETTLE);
  }
  feed.listen(({ type }) => type.startsWith("Workitem ") && later(), signal);
  signal.addEventListener("abort", () => clearTimeout(soon));
}

export function worklistView({ signal }) {
  chosenDay ??= localDay(new Date());
  let items = [];
  let isNewDay = true;
  const date = h("input", { id: "worklist-day", type: "date", value: chosenDay, onchange: () => date.value && go(date.value) });
  const station = h("select", { id: "worklist-station", onchange: () => isNewDay || list.show() });
  const load = (offset, limit) => ofRows(items.filter((item) => !station.value || item.ScheduledStationAETitle === station.value))(offset, limit);
  const list = pagedList({ load, row: (item) => itemRow(item, again), empty: t("noItems"), signal, label: t("view_worklist") });
  const form = mayChange() ? newItem(() => date.value, go) : null;
  const { read, isReading } = reader(signal, { taken, failed: (error) => list.say(saying(error)) });

  function taken(found) {
    items = found;
    offerStations(station, items);
    if (isNewDay) list.show();
    else list.again();
    isNewDay = false;
  }

  function go(to) {
    if (to !== chosenDay) list.clear();
    chosenDay = to;
    isNewDay = true;
    date.value = to;
    list.say(t("loading"));
    return read(to);
  }

  const again = () => read(chosenDay);
  // What somebody is about to answer or to fill in is not taken from under the hand.
  const isInUse = () => isReading() || list.element.querySelector(".more :is(form, [role=group])");
  whenChanged(again, isInUse, signal);
  addEventListener("signedin", again, { signal });
  go(chosenDay);
  const by = (days, key) => h("button", { type: "button", onclick: () => go(plus(date.value, days)) }, t(key));
  const choose = h(
    "div",
    { class: "card fields" },
    h("div", {}, h("label", { for: "worklist-day" }, t("day")), date),
    h("div", { class: "actions" }, by(-1, "dayBefore"), by(1, "dayAfter")),
    h("div", {}, h("label", { for: "worklist-station" }, t("station")), station),
  );
  return h("main", { class: "view" }, h("h1", { tabindex: "-1" }, t("view_worklist")), choose, form, list.element);
}

function sorted(items) {
  const key = (item) => [item.ScheduledStationAETitle, item.ScheduledProcedureStepStartTime].join("\u0000");
  return items.map((item) => [key(item), item]).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, item]) => item);
}

function offerStations(select, items) {
  const chosen = select.value;
  const counts = Map.groupBy ? Map.groupBy(items, (item) => item.ScheduledStationAETitle) : new Map();
  const names = [...counts.keys()].filter(Boolean).sort();
  const options = names.map((name) => h("option", { value: name, selected: name === chosen }, `${name} (${number(counts.get(name).length)})`));
  select.replaceChildren(h("option", { value: "" }, t("allStations", { count: number(items.length) })), ...options);
}

function itemRow(item, again) {
  const { ScheduledStationAETitle: station, ScheduledProcedureStepStartTime: time, ...planned } = item;
  const state = item.State;
  const name = nameOf(item.PatientName);
  const what = [planned.Modality, planned.ScheduledProcedureStepDescription, t("accession", { number: item.AccessionNumber }), item.PatientID];
  const place = h("div", { class: "more" });
  const isOpen = ["SCHEDULED", "IN PROGRESS"].includes(state);
  return h(
    "article",
    { class: "item", "data-state": state, "data-study": item.StudyInstanceUID },
    h("div", { class: "when" }, h("strong", {}, clock(time)), h("span", {}, station)),
    h("div", { class: "about" }, h("h2", {}, name), h("p", {}, what.filter(Boolean).join(" · "))),
    h("span", { class: "state" }, t(`step_${state.replace(" ", "_")}`)),
    mayChange() && isOpen ? itemActions(item, name, state, place, again) : null,
    place,
  );
}

function itemActions(item, name, state, place, again) {
  const uid = item.StudyInstanceUID;
  const of = (key) => ({ type: "button", "aria-label": `${t(key)}: ${name}, ${item.AccessionNumber}` });
  async function doIt(work) {
    try {
      await work();
      place.replaceChildren();
      again();
    } catch (error) {
      place.replaceChildren(h("p", { class: "message", role: "alert" }, saying(error)));
    }
  }
  const cancel = () => place.replaceChildren(sure(t("cancelSure", { name }), () => doIt(() => api.setState(uid, "CANCELED")), () => place.replaceChildren()));
  const move = () => place.replaceChildren(moveForm(item, (changes) => doIt(() => api.reschedule(uid, changes))));
  const later = state === "SCHEDULED" ? h("button", { onclick: move, ...of("reschedule") }, t("reschedule")) : null;
  return h("div", { class: "actions" }, later, h("button", { onclick: cancel, ...of("cancel") }, t("cancel")));
}

function sure(text, yes, no) {
  const first = h("button", { type: "button", onclick: yes }, t("cancelYes"));
  queueMicrotask(() => first.focus());
  return h("div", { class: "actions", role: "group", "aria-label": text }, h("p", {}, text), first, h("button", { type: "button", onclick: no }, t("cancelNo")));
}

function moveForm(item, done) {
  const uid = item.StudyInstanceUID.replaceAll(".", "-");
  const day = (item.ScheduledProcedureStepStartDate ?? "").replace(/^(\d{4})(\d\d)(\d\d)$/, "$1-$2-$3");
  const date = h("input", { id: `day-${uid}`, type: "date", value: day, required: true });
  const time = h("input", { id: `time-${uid}`, type: "time", value: clock(item.ScheduledProcedureStepStartTime), required: true });
  const submit = (event) => {
    event.preventDefault();
    done({ ScheduledProcedureStepStartDate: date.value, ScheduledProcedureStepStartTime: time.value });
  };
  queueMicrotask(() => date.focus());
  return h(
    "form",
    { class: "fields", onsubmit: submit },
    h("div", {}, h("label", { for: date.id }, t("field_ScheduledProcedureStepStartDate")), date),
    h("div", {}, h("label", { for: time.id }, t("field_ScheduledProcedureStepStartTime")), time),
    h("button", { class: "primary", type: "submit" }, t("save")),
  );
}

function newItem(today, done) {
  const message = h("div", { class: "message", role: "alert" });
  const inputs = FIELDS.map(([name, options]) => h("input", { id: `new-${name}`, name, required: true, autocomplete: "off", spellcheck: false, type: "text", ...options }));
  const fields = inputs.map((input) => h("div", {}, h("label", { for: input.id }, t(`field_${input.name}`)), input));
  const form = h("form", { onsubmit: submit }, h("div", { class: "fields" }, ...fields), h("button", { class: "primary", type: "submit" }, t("schedule")), message);
  const panel = h("details", { class: "card", ontoggle: () => (form.elements.ScheduledProcedureStepStartDate.value ||= today()) }, h("summary", {}, t("newItem")), form);

  async function submit(event) {
    event.preventDefault();
    message.replaceChildren();
    const entries = inputs.map((input) => [input.name, input.value.trim()]).filter(([, value]) => value);
    const item = Object.fromEntries(entries);
    item.PatientName = familyFirst(item.PatientName);
    item.Modality = item.Modality.toUpperCase();
    try {
      await api.schedule(item);
      form.reset();
      panel.open = false;
      done(item.ScheduledProcedureStepStartDate);
    } catch (error) {
      message.append(h("p", {}, saying(error)));
    }
  }

  return panel;
}

// "Rossi, Anna" as DICOM writes it; who writes carets is left alone.
function familyFirst(text) {
  const [family, given] = text.includes("^") ? [text] : text.split(",").map((part) => part.trim());
  return given ? `${family}^${given}` : family;
}
