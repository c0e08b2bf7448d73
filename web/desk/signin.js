// Signing in: with the operator's issuer, or with a service key; at the beginning, and again when the session has ended.

import * as api from "./api.js";
import { h, meta, t } from "./dom.js";
import * as oidc from "./oidc.js";
import * as sessions from "./session.js";

const ROLES = ["service", "reader"];
// A sign-in in a window of its own tells the page that waits for it: what is under way there goes on.
const renewals = new BroadcastChannel("desk.renewals");

// Looks up whose credential this is, and keeps it.
export async function enter(found) {
  const { name, role } = await api.me(found.accessToken);
  if (!ROLES.includes(role)) throw new oidc.SignInFailed("role");
  const before = sessions.lastSession();
  const session = { endsAt: null, ...found, name, role };
  sessions.keep(session);
  return { session, isSamePerson: !before || before.name === name };
}

export function saidOf(error) {
  if (error instanceof oidc.SignInFailed) return t(error.message === "role" ? "noDeskRole" : "signInFailed");
  if (error.status === 401) return t("unknownKey");
  if (error.status === 403) return t("noDeskRole");
  return t("notNow");
}

// The form; `entered` gets what `enter` gives. `elsewhere`: the issuer is asked in a window of its own.
export function signInForm(entered, { elsewhere = false } = {}) {
  const message = h("div", { class: "message", role: "alert" });
  const input = h("input", { id: "service-key", type: "password", autocomplete: "off", spellcheck: false, required: true });
  const button = h("button", { class: "primary", type: "submit" }, t("signInWithKey"));
  const form = h("form", { onsubmit: submit }, h("div", {}, h("label", { for: "service-key" }, t("serviceKey")), input), button);

  async function tryTo(work) {
    message.replaceChildren();
    button.disabled = true;
    try {
      await work();
    } catch (error) {
      message.append(h("p", {}, saidOf(error)));
    }
    button.disabled = false;
  }

  function submit(event) {
    event.preventDefault();
    tryTo(async () => entered(await enter({ accessToken: input.value.trim() })));
  }

  const leave = () => tryTo(() => (elsewhere ? openWindow() : oidc.leave()));
  const issuer = h("button", { class: "primary", type: "button", onclick: leave }, t("signIn"));
  const keyed = oidc.isConfigured ? h("details", {}, h("summary", {}, t("orKey")), form) : form;
  return h("div", { class: "sign-in" }, oidc.isConfigured ? issuer : null, keyed, message);
}

export function signInView(entered, text) {
  return h(
    "main",
    { class: "card" },
    h("h1", { tabindex: "-1" }, t("deskTitle")),
    h("p", {}, text ?? t("deskIntro", { service: meta("service-name") })),
    signInForm(entered),
    h("p", { class: "hint" }, t("privacy")),
  );
}

function openWindow() {
  open(new URL("desk?renew", api.base), "_blank", "popup,width=520,height=680");
}

export const isRenewal = () => location.search === "?renew";

export function renew() {
  history.replaceState(null, "", location.pathname);
  return oidc.leave({ renew: true });
}

// In the window of its own: hands the session over and keeps none. A browser may refuse to close a window that was
// elsewhere meanwhile.
export function handOver(session) {
  renewals.postMessage(session);
  sessions.forget();
  close();
  return h("main", { class: "card" }, h("h1", { tabindex: "-1" }, t("signedInAgain")), h("p", {}, t("closeThis")));
}

let dialog = null;

// Asks to sign in again, above whatever is shown; another person's session begins anew.
export function askAgain(goOn) {
  if (dialog) return;
  const arrived = ({ data }) => {
    if (data.name !== sessions.lastSession()?.name) return;
    sessions.keep(data);
    entered({ isSamePerson: true });
  };
  function entered({ isSamePerson }) {
    renewals.removeEventListener("message", arrived);
    dialog.close();
    dialog.remove();
    dialog = null;
    if (isSamePerson) goOn();
    else location.reload();
  }
  renewals.addEventListener("message", arrived);
  const title = h("h2", { id: "again-title" }, t("expiredTitle"));
  dialog = h("dialog", { class: "card", "aria-labelledby": "again-title" }, title, h("p", {}, t("expired")), signInForm(entered, { elsewhere: true }));
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  document.body.append(dialog);
  dialog.showModal();
}
