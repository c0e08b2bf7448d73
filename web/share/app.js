// The share page: landing, exam, or the end; nothing is redeemed without a press.

import * as api from "./api.js";
import { h, loadWords, meta, t } from "./dom.js";
import { closeExam, examView } from "./exam.js";
import { landing } from "./landing.js";
import * as sessions from "./session.js";

const root = document.getElementById("app");
let ends;

function header(...more) {
  const logo = meta("service-logo");
  const mark = logo ? h("img", { class: "logo", src: logo, alt: "" }) : null;
  return h("header", { class: "bar" }, mark, h("span", { class: "service" }, meta("service-name")), ...more);
}

function show(view, ...bar) {
  root.replaceChildren(header(...bar), view, h("p", { id: "announced", class: "unseen", "aria-live": "polite" }));
  view.querySelector("h1")?.focus();
}

function showLanding() {
  show(landing(showExam));
}

function showExam() {
  const access = sessions.session();
  clearTimeout(ends);
  ends = setTimeout(() => over("expired"), Math.min(access.endsAt - Date.now(), 2 ** 31 - 1));
  show(examView(access, () => over("over")), h("button", { class: "quiet", onclick: signOut }, t("signOut")));
}

function signOut() {
  // Asked before the token is forgotten; the page is emptied without waiting for the answer, whatever else is under way.
  api.signOut().catch(() => {});
  over("signedOut");
}

function over(key) {
  clearTimeout(ends);
  closeExam();
  sessions.forget();
  const contact = meta("support-contact");
  show(
    h(
      "main",
      { class: "card" },
      h("h1", { tabindex: "-1" }, t(`${key}Title`)),
      h("p", {}, t(key)),
      contact && key !== "signedOut" ? h("p", {}, t("contact", { contact })) : null,
      key === "signedOut" ? null : h("button", { onclick: showLanding }, t("enterCode")),
    ),
  );
}

// A page that comes back from the browser's own memory, after the session it showed has ended.
addEventListener("pageshow", (event) => {
  if (event.persisted && !sessions.session()) location.reload();
});
addEventListener("hashchange", () => {
  sessions.takeFragment();
  if (!sessions.session()) clearTimeout(ends);
  closeExam();
  showLanding();
});

sessions.takeFragment();
await loadWords();
if (sessions.session()) showExam();
else showLanding();
