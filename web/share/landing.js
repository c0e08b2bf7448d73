// What this is, who sent it, and the press that opens it.

import { Refused, redeem } from "./api.js";
import { h, meta, t } from "./dom.js";
import { open, pending, remember } from "./session.js";

function codeField() {
  const hint = h("p", { id: "code-hint", class: "hint" }, t("codeHint"));
  const input = h("input", {
    id: "code",
    name: "code",
    autocomplete: "one-time-code",
    autocapitalize: "characters",
    spellcheck: false,
    required: true,
    "aria-describedby": "code-hint",
  });
  return h("div", {}, h("label", { for: "code" }, t("code")), input, hint);
}

function birthDateField(isRequired) {
  const text = isRequired ? t("birthDate") : t("birthDateIfAsked");
  const input = h("input", { id: "birth-date", name: "birthDate", type: "date", autocomplete: "bday", required: isRequired });
  return h("div", {}, h("label", { for: "birth-date" }, text), input);
}

// The view; `opened` is called once the exam is open.
export function landing(opened) {
  const known = pending();
  const message = h("div", { class: "message", role: "alert" });
  const button = h("button", { class: "primary", type: "submit" }, t("open"));
  const birthDates = h("div", {}, !known || known.birthDate ? birthDateField(Boolean(known?.birthDate)) : null);
  const form = h("form", { onsubmit: submit }, known ? null : codeField(), birthDates, button, message);

  async function submit(event) {
    event.preventDefault();
    if (!known) rememberTyped(form.elements.code.value);
    button.disabled = true;
    button.textContent = t("opening");
    message.replaceChildren();
    try {
      const session = await redeem(pending(), form.elements.birthDate?.value);
      // Another link was opened in this tab meanwhile.
      if (!form.isConnected) return;
      open(session);
      opened();
    } catch (error) {
      button.disabled = false;
      button.textContent = t("open");
      explain(error);
    }
  }

  function explain(error) {
    if (!(error instanceof Refused)) {
      message.append(h("p", {}, t("notNow")));
      return;
    }
    const contact = meta("support-contact");
    message.append(h("h2", {}, t("refusedTitle")), h("p", {}, t("refused")), h("p", {}, t("whatNow")));
    if (contact) message.append(h("p", {}, t("contact", { contact })));
    // One answer for every reason: the birth date may be what is missing.
    if (!form.elements.birthDate) birthDates.append(birthDateField(false));
  }

  return h(
    "main",
    { class: "card" },
    h("h1", { tabindex: "-1" }, t("title")),
    h("p", {}, t("from", { service: meta("service-name") })),
    h("p", {}, t("explain")),
    form,
    h("p", { class: "hint" }, t("privacy")),
  );
}

function rememberTyped(text) {
  const token = text.trim().replace(/\s+/g, "");
  if (pending()?.token !== token) remember({ token, birthDate: false });
}
