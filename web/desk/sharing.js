// Sharing one exam: a link, a QR code and a code for the telephone; what became of earlier ones.

import * as api from "./api.js";
import { announce, format, h, moment, number, t } from "./dom.js";
import { describe, nameOf } from "./exam.js";
import * as feed from "./feed.js";
import { filler } from "./list.js";
import { qrCode } from "./qr.js";

const HOUR = 3600;
const DURATIONS = [600, HOUR, 24 * HOUR, 7 * 24 * HOUR, 30 * 24 * HOUR];
const USES = [1, 2, 5, 20];
const OPEN = ["ACTIVE", "SUSPENDED"];

function select(name, values, chosen) {
  const options = values.map(([value, text]) => h("option", { value: String(value), selected: value === chosen }, text));
  return h("div", {}, h("label", { for: `share-${name}` }, t(`share_${name}`)), h("select", { id: `share-${name}`, name }, ...options));
}

function duration(seconds) {
  const [count, unit] = seconds < HOUR ? [seconds / 60, "minute"] : seconds < 24 * HOUR ? [seconds / HOUR, "hour"] : [seconds / 24 / HOUR, "day"];
  return format(Intl.NumberFormat, { style: "unit", unit, unitDisplay: "long" }).format(count);
}

function check(name, isChecked) {
  const id = `share-${name}`;
  return h("div", { class: "check" }, h("input", { id, name, type: "checkbox", checked: isChecked }), h("label", { for: id }, t(`share_${name}`)));
}

export function shareView({ signal, argument: studyUID }) {
  const view = h("main", { class: "view" }, h("h1", { tabindex: "-1" }, t("view_share")));
  if (!studyUID) view.append(h("p", {}, t("chooseExam")), h("p", {}, h("a", { class: "button", href: "#exams" }, t("view_exams"))));
  else fill(view, studyUID, signal);
  return view;
}

async function fill(view, studyUID, signal) {
  const message = h("p", { role: "status" }, t("loading"));
  view.append(message);
  let exam;
  try {
    exam = await api.exam(studyUID, signal);
  } catch (error) {
    message.textContent = error.isTemporary === false ? error.message : t("notNow");
    return;
  }
  const earlier = earlierCodes(studyUID, signal);
  const issued = h("div", { class: "issued" });
  const head = h("section", { class: "card" }, h("h2", {}, nameOf(exam.PatientName)), ...describe(exam));
  message.replaceWith(head, shareForm(studyUID, issued, earlier.again), issued, earlier.element);
}

function shareForm(studyUID, place, done) {
  const message = h("div", { class: "message", role: "alert" });
  const button = h("button", { class: "primary", type: "submit" }, t("makeLink"));
  const note = h("input", { id: "share-note", name: "note", maxLength: 100, autocomplete: "off" });
  const form = h(
    "form",
    { class: "card", onsubmit: submit },
    h(
      "div",
      { class: "fields" },
      select("role", [["patient", t("role_patient")], ["diagnostic", t("role_diagnostic")]], "patient"),
      select("duration", DURATIONS.map((seconds) => [seconds, duration(seconds)]), 24 * HOUR),
      select("uses", USES.map((count) => [count, t(count === 1 ? "once" : "timesOpen", { count })]), 1),
      h("div", {}, h("label", { for: "share-note" }, t("share_note")), note),
    ),
    check("birthDate", false),
    check("download", true),
    button,
    message,
  );

  function wishes() {
    const { role, duration: seconds, uses, birthDate, download } = form.elements;
    return {
      studyUID,
      role: role.value,
      expiresIn: Number(seconds.value),
      maxUses: Number(uses.value),
      requireBirthDate: birthDate.checked,
      // Whoever diagnoses needs the files.
      ...(role.value === "patient" && { download: download.checked }),
      ...(note.value.trim() && { user: note.value.trim() }),
    };
  }

  async function submit(event) {
    event.preventDefault();
    button.disabled = true;
    message.replaceChildren();
    try {
      place.replaceChildren(issuedCode(await api.share(wishes())));
      place.querySelector("h2").focus();
      done();
    } catch (error) {
      message.append(h("p", {}, error.isTemporary === false ? error.message : t("notNow")));
    }
    button.disabled = false;
  }

  return form;
}

// What is handed on: shown once, since the service keeps no code.
function issuedCode(issued) {
  const link = h("input", { id: "issued-link", readOnly: true, value: issued.link, onfocus: () => link.select() });
  const copied = h("span", { role: "status", class: "hint" });
  async function copy() {
    await navigator.clipboard.writeText(issued.link);
    copied.textContent = t("copied");
  }
  return h(
    "section",
    { class: "card", "aria-labelledby": "issued-title" },
    h("h2", { id: "issued-title", tabindex: "-1" }, t("issuedTitle")),
    h("p", {}, t("issuedOnce", { when: moment(issued.expiresAt) })),
    h("div", { class: "hand-on" }, qrCode(issued.link, t("qrLabel")), h("div", {}, ...told(issued, link, copy, copied))),
  );
}

function told(issued, link, copy, copied) {
  return [
    h("label", { for: "issued-link" }, t("link")),
    h("div", { class: "row" }, link, h("button", { type: "button", onclick: copy }, t("copy"))),
    copied,
    h("h3", {}, t("byTelephone")),
    h("p", {}, t("byTelephoneHow", { page: new URL("share", api.base).href })),
    h("p", { class: "spelled" }, issued.token),
  ];
}

function earlierCodes(studyUID, signal) {
  const place = h("div", {}, h("p", {}, t("loading")));
  const element = h("section", { class: "card", "aria-labelledby": "earlier-title" }, h("h2", { id: "earlier-title" }, t("earlier")), place);

  const rows = h("ul", { class: "rows" });
  const fill = filler(rows, (code) => earlierCode(code, again));
  let asked;

  // Asked for after each change: answers come in any order, and the last question's is how it is now.
  async function again() {
    const mine = (asked = {});
    let shown = rows;
    try {
      const found = await codes();
      if (mine === asked) fill(found, { keep: true });
      if (!found.length) shown = h("p", {}, t("noneShared"));
    } catch (error) {
      shown = h("p", {}, error.isTemporary === false ? error.message : t("notNow"));
    }
    if (mine === asked && place.firstChild !== shown) place.replaceChildren(shown);
  }

  async function codes() {
    const found = await api.shares(studyUID);
    const opened = await Promise.all(found.slice(0, 20).map((code) => (code.uses ? api.shareState(code.otpId) : code)));
    return [...opened, ...found.slice(20)].map((code) => ({ ...code, canEnd: canEnd(code) }));
  }

  const happened = ({ type, data }) => {
    if (!type.startsWith("OTP ") || data.studyUID !== studyUID) return;
    if (type === "OTP Redeemed") announce(t("openedNow"));
    again();
  };
  feed.listen(happened, signal);
  again();
  return { element, again };
}

// Access that was given lasts a while after the code is used up: it can be revoked, too.
function canEnd({ state, redemptions = [] }) {
  const isAccessible = () => redemptions.some((use) => new Date(use.accessTokenExpiresAt) > new Date());
  return state !== "REVOKED" && (OPEN.includes(state) || isAccessible());
}

function earlierCode(code, again) {
  const facts = [t(`state_${code.state}`), t(`role_${code.role}`), t("until", { when: moment(code.expiresAt) }), t("usedOf", { uses: number(code.uses), of: number(code.maxUses) })];
  const opened = (code.redemptions ?? []).map((use) => h("p", { class: "opened" }, t("openedAt", { when: moment(use.at) })));
  async function revoke({ target }) {
    target.disabled = true;
    await api.revoke(code.otpId).catch(() => (target.disabled = false));
    again();
  }
  const name = code.user || t("noNote");
  const label = `${t("revoke")}: ${name}, ${moment(code.createdAt)}`;
  const button = code.canEnd ? h("button", { type: "button", onclick: revoke, "aria-label": label }, t("revoke")) : null;
  return h(
    "article",
    { class: "code", "data-state": code.state },
    h("div", {}, h("h3", {}, `${name} · ${moment(code.createdAt)}`), h("p", { class: "soft" }, facts.join(" · ")), ...opened),
    button,
  );
}
