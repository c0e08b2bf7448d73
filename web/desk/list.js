// A list in pages: however long it is, the document has one page of it.

import { h, number, t } from "./dom.js";

const PAGE = 50;

// Fills a list. With `keep`, the row of a value that was there before stays as it is: what somebody points at, has unfolded
// or types in it is not taken from under the hand.
export function filler(list, row) {
  let shown = new Map();
  return (values, { keep = false } = {}) => {
    const next = new Map();
    for (const value of values) {
      const text = JSON.stringify(value);
      const key = next.has(text) ? `${text} ${next.size}` : text;
      next.set(key, (keep && shown.get(key)) || h("li", {}, row(value)));
    }
    const rows = new Set(next.values());
    for (const one of [...list.children]) if (!rows.has(one)) one.remove();
    let at = list.firstElementChild;
    for (const one of rows) {
      if (one === at) at = at.nextElementSibling;
      else list.insertBefore(one, at);
    }
    shown = next;
  };
}

// `load(offset, limit, signal)` gives { rows, more, total }; `row(value)` an element; `said` hears what is shown.
export function pagedList({ load, row, empty, signal, label }) {
  const rows = h("ul", { class: "rows", "aria-label": label });
  const fill = filler(rows, row);
  const message = h("p", { class: "said", role: "status" });
  const before = h("button", { type: "button", onclick: () => show(offset - PAGE) }, t("pageBefore"));
  const after = h("button", { type: "button", onclick: () => show(offset + PAGE) }, t("pageAfter"));
  const pages = h("div", { class: "actions pages" }, before, after);
  const element = h("div", { class: "listing" }, message, rows, pages);
  let offset = 0;
  let asked;

  async function show(from = 0, { quietly = false } = {}) {
    asked?.abort();
    asked = new AbortController();
    signal?.addEventListener("abort", () => asked.abort());
    if (!quietly) message.textContent = t("loading");
    try {
      const page = await load(Math.max(0, from), PAGE, asked.signal);
      offset = Math.max(0, from);
      fill(page.rows, { keep: quietly });
      message.textContent = page.rows.length ? t("rowsShown", { from: number(offset + 1), to: number(offset + page.rows.length) }) : empty;
      before.disabled = offset === 0;
      after.disabled = !page.more;
      pages.hidden = offset === 0 && !page.more;
    } catch (error) {
      if (error.name === "AbortError") return;
      message.textContent = error.isTemporary === false ? error.message : t("notNow");
    }
  }

  const say = (text) => (message.textContent = text);

  function clear() {
    asked?.abort();
    fill([]);
    pages.hidden = true;
  }

  // A list that could not be read because the session had ended.
  addEventListener("signedin", () => element.isConnected && show(offset), { signal });
  pages.hidden = true;
  return { element, show, say, clear, again: () => show(offset, { quietly: true }) };
}

// Of rows that are all here.
export function ofRows(rows) {
  return (offset, limit) => ({ rows: rows.slice(offset, offset + limit), more: rows.length > offset + limit });
}
