// The desk: who is signed in, and one of five views.

import { whenEnded } from "./api.js";
import { bringView } from "./bring.js";
import { announce, h, loadWords, meta, t } from "./dom.js";
import { examsView } from "./exams.js";
import * as feed from "./feed.js";
import { liveView } from "./live.js";
import * as oidc from "./oidc.js";
import * as sessions from "./session.js";
import { shareView } from "./sharing.js";
import * as signin from "./signin.js";
import { worklistView } from "./worklist.js";

// Each makes its element; what it started ends with the signal. `changes`: not for readers.
const VIEWS = {
  bring: { make: bringView, changes: true },
  exams: { make: examsView },
  share: { make: shareView, changes: true },
  worklist: { make: worklistView },
  live: { make: liveView },
};

const root = document.getElementById("app");
let shown = new AbortController();
let ends;

const mine = () => Object.keys(VIEWS).filter((name) => sessions.mayChange() || !VIEWS[name].changes);

function service() {
  const logo = meta("service-logo");
  return [logo ? h("img", { class: "logo", src: logo, alt: "" }) : null, h("span", { class: "service" }, meta("service-name"))];
}

function header(current) {
  const links = mine().map((name) =>
    h("li", {}, h("a", { href: `#${name}`, "aria-current": name === current ? "page" : undefined }, t(`view_${name}`))),
  );
  const { name, role } = sessions.session();
  return h(
    "header",
    { class: "bar" },
    ...service(),
    h("nav", { "aria-label": t("views") }, h("ul", {}, ...links)),
    h("span", { class: "who" }, t("signedInAs", { name, role: t(`role_${role}`) })),
    h("button", { class: "quiet", onclick: signOut }, t("signOut")),
  );
}

function put(view, bar, title) {
  root.replaceChildren(bar, view, h("p", { id: "announced", class: "unseen", "aria-live": "polite" }));
  document.title = `${title} · ${meta("service-name")}`;
  view.querySelector("h1")?.focus();
}

function showView() {
  if (!sessions.session()) return showSignIn();
  const [wanted, argument] = location.hash.slice(1).split("/");
  const name = mine().includes(wanted) ? wanted : mine()[0];
  shown.abort();
  shown = new AbortController();
  put(VIEWS[name].make({ signal: shown.signal, argument }), header(name), t(`view_${name}`));
}

function begin() {
  const { endsAt } = sessions.session();
  clearTimeout(ends);
  if (endsAt) ends = setTimeout(sessionEnded, Math.min(endsAt - Date.now(), 2 ** 31 - 1));
  feed.start();
}

function entered() {
  begin();
  showView();
}

function sessionEnded() {
  if (!sessions.lastSession()) return;
  sessions.expire();
  signin.askAgain(() => {
    begin();
    dispatchEvent(new Event("signedin"));
    announce(t("signedInAgain"));
  });
}

function showSignIn(text) {
  shown.abort();
  put(signin.signInView(entered, text), h("header", { class: "bar" }, ...service()), t("deskTitle"));
}

async function signOut() {
  const session = sessions.session();
  clearTimeout(ends);
  sessions.signOut();
  feed.stop();
  // Whatever is under way ends with the page.
  const url = session?.idToken ? await oidc.signOutUrl(session) : null;
  if (url) return location.assign(url);
  startAnew();
}

function signedOutElsewhere() {
  sessions.forget();
  root.replaceChildren();
  startAnew();
}

function startAnew() {
  history.replaceState(null, "", location.pathname);
  location.reload();
}

// What this visit begins with: an answer of the issuer, a session of this tab, or nothing.
async function arrive() {
  sessions.adopt();
  const answer = oidc.takeAnswer();
  try {
    if (answer) {
      const { pending, ...found } = await oidc.finish(answer);
      const { session } = await signin.enter(found);
      if (pending.renew) return put(signin.handOver(session), h("header", { class: "bar" }, ...service()), t("deskTitle"));
    }
  } catch (error) {
    return showSignIn(signin.saidOf(error));
  }
  if (sessions.session()) entered();
  else showSignIn();
}

addEventListener("hashchange", showView);
// A page that comes back from the browser's own memory, after its session has ended.
addEventListener("pageshow", (event) => {
  if (event.persisted && !sessions.session()) location.reload();
});
whenEnded(sessionEnded);
sessions.whenSignedOutElsewhere(signedOutElsewhere);
await loadWords();
if (signin.isRenewal()) signin.renew().catch((error) => showSignIn(signin.saidOf(error)));
else await arrive();
