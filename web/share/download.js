// The exam as one ZIP: asked for, waited for, then taken from where it lies.

import * as api from "./api.js";
import { h, number, t } from "./dom.js";

const ASK_EVERY = 2000;
const OVER = ["failed", "cancelled"];

// The button, and the place beside it that says how far it is; `failed` hears of what ends the page.
export function downloadButton(failed) {
  const said = h("span", { class: "hint", role: "status" });
  const button = h("button", { class: "quiet", onclick: fetchArchive }, t("download"));

  async function fetchArchive() {
    button.disabled = true;
    said.textContent = t("preparing");
    try {
      await api.askForArchive();
      const url = await ready();
      if (button.isConnected) take(url);
    } catch (error) {
      if (error instanceof api.Over) failed(error);
      said.textContent = t("downloadFailed");
    }
    button.disabled = false;
  }

  async function ready() {
    for (;;) {
      // What belongs to an exam that was left must not be asked for with the session of the next one.
      if (!button.isConnected) throw new api.Missing("closed");
      const archive = await api.archive();
      if (archive.url) return archive.url;
      if (OVER.includes(archive.state)) throw new api.Missing(archive.state);
      if (archive.instances) said.textContent = t("prepared", { done: number(archive.done), of: number(archive.instances) });
      await new Promise((resolve) => setTimeout(resolve, ASK_EVERY));
    }
  }

  // The answer is an attachment: the page stays.
  function take(url) {
    said.textContent = t("downloading");
    h("a", { href: url, rel: "noreferrer" }).click();
  }

  return [button, said];
}
