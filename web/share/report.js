// Reports: PDFs and Structured Reports, readable at once.

import * as api from "./api.js";
import { h, t, value } from "./dom.js";

const SR = "1.2.840.10008.5.1.4.1.1.88.";
const PDF = "1.2.840.10008.5.1.4.1.1.104.1";
const KEY_OBJECTS = `${SR}59`;

export function isReport(row) {
  const sopClass = value(row, "00080016") ?? "";
  return sopClass !== KEY_OBJECTS && (sopClass === PDF || sopClass.startsWith(SR));
}

// Fills a section with the reports of some series; returns what forgets them.
export function reportList(section, allSeries, failed) {
  const urls = [];
  for (const series of allSeries) {
    const uid = value(series, "0020000E");
    api.instances(uid).then((rows) => {
      for (const row of rows.filter(isReport)) {
        section.hidden = false;
        section.append(reportItem({ series: uid, instance: value(row, "00080018") }, series, row, urls));
      }
    }, failed);
  }
  return () => urls.forEach((url) => URL.revokeObjectURL(url));
}

function reportItem(name, series, row, urls) {
  const body = h("div", { class: "report-body" }, t("loading"));
  const title = value(row, "00420010") || value(series, "0008103E") || t("report");
  api.report(name).then(
    (found) => body.replaceChildren(...view(found, title, urls)),
    (error) => body.replaceChildren(t(error instanceof api.Missing ? "reportNotShown" : "notNow")),
  );
  return h("details", { class: "card report", open: true }, h("summary", {}, h("h2", {}, h("bdi", {}, title))), body);
}

function view({ pdf, tree, open }, title, urls) {
  if (pdf) return pdfView(pdf, title, urls);
  if (tree) return [treeView(tree)];
  const problem = h("span", { role: "status" });
  const failed = () => problem.replaceChildren(t("notNow"));
  return [h("button", { onclick: () => open().catch(failed) }, t("openPdf")), problem];
}

function pdfView(blob, title, urls) {
  const url = URL.createObjectURL(blob);
  urls.push(url);
  const link = h("a", { class: "button", href: url, target: "_blank", rel: "noopener" }, t("openPdf"));
  return navigator.pdfViewerEnabled ? [h("iframe", { class: "pdf", src: url, title }), link] : [link];
}

function treeView(node) {
  return h("div", { class: "tree", dir: "auto" }, h("h3", {}, node.name ?? t("report")), node.children.map(item));
}

function item(node) {
  const text = [node.value, node.unit].filter(Boolean).join(" ");
  const line = h("p", {}, node.name ? h("strong", {}, `${node.name}${text ? ": " : ""}`) : null, text);
  const inner = node.children.length ? h("div", { class: "nested" }, node.children.map(item)) : null;
  return node.name || text || inner ? h("div", {}, node.name || text ? line : null, inner) : null;
}
