// Who has seen the exam, where its sender lets the recipient know.

import * as api from "./api.js";
import { h, moment, number, t } from "./dom.js";

// A ZIP that is asked for, or asked after, is none that was given out.
const TOLD = {
  metadata: "list",
  frame: "picture",
  "archive-state": "archive",
  "archive-download": "download",
  arrival: "store",
};
const SUCCESS = 0;

// A list that is fetched when it is unfolded; `failed` hears of what ends the page.
export function accessList(failed) {
  const body = h("div", { class: "report-body", role: "status" }, t("loading"));
  const list = h("details", { class: "card", ontoggle: load }, h("summary", {}, h("h2", {}, t("accesses"))), body);

  async function load() {
    if (!list.open) return;
    try {
      const rows = (await api.accesses()).filter((row) => row.outcome === SUCCESS);
      body.replaceChildren(h("ul", { class: "accesses" }, rows.map(item)));
    } catch (error) {
      if (error instanceof api.Over && error.message === "401") failed(error);
      body.replaceChildren(t("notNow"));
    }
  }

  return list;
}

function item(row) {
  const times = row.count > 1 ? ` (${number(row.count)}×)` : "";
  const known = t(`did_${TOLD[row.action] ?? row.action}`);
  const did = known.startsWith("did_") ? t("did_other") : known;
  return h("li", {}, h("time", { datetime: row.at }, moment(row.at)), " · ", h("bdi", {}, viewer(row)), " · ", `${did}${times}`);
}

function viewer({ who, organisation }) {
  if (who.startsWith("otp:")) return t("byLink");
  const name = who.replace(/^oidc:/, "");
  return organisation ? `${name} (${organisation})` : name;
}
