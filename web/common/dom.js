// Elements and words. No text of an exam is ever parsed as HTML: children are nodes or text nodes.

export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && typeof value !== "string") element[key] = value;
    else if (value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

export function meta(name) {
  return document.querySelector(`meta[name="${name}"]`).content;
}

let words = {};
export let language = "en";
let locale = "en";

export async function loadWords() {
  const known = ["en", "it", "de", "fr", "es"];
  const spoken = (tag) => tag.slice(0, 2).toLowerCase();
  locale = navigator.languages.find((tag) => known.includes(spoken(tag))) ?? "en";
  language = spoken(locale);
  words = (await import(`./lang-${language}.js`)).default;
  document.documentElement.lang = language;
}

export function t(key, values = {}) {
  return (words[key] ?? key).replace(/{(\w+)}/g, (_, name) => values[name]);
}

const formats = new Map();

// `Kind` of `Intl` for the reader. To make one takes the browser far longer than to use it: there is one of each.
export function format(Kind, options = {}) {
  const name = [Kind.name, locale, JSON.stringify(options)].join(" ");
  if (!formats.has(name)) formats.set(name, new Kind(locale, options));
  return formats.get(name);
}

export function number(value) {
  return format(Intl.NumberFormat).format(value);
}

// A DA of DICOM, 20040119, in the words of the reader.
export function day(text) {
  const parts = /^(\d{4})(\d{2})(\d{2})$/.exec(text ?? "");
  if (!parts) return "";
  const date = new Date(Date.UTC(parts[1], parts[2] - 1, parts[3]));
  return format(Intl.DateTimeFormat, { dateStyle: "long", timeZone: "UTC" }).format(date);
}

// A moment, as text or in milliseconds, in the words, and at the clock, of the reader.
export function moment(at, dateStyle = "medium") {
  return format(Intl.DateTimeFormat, { dateStyle, timeStyle: "short" }).format(new Date(at));
}

// PN (PS3.5 §6.2.1): the writing of the person's own language first, then in Latin letters.
export function personName(value) {
  const plain = (group) => (group ?? "").split("^").map((part) => part.trim());
  const latin = plain(value?.Alphabetic);
  const [family, given, middle, prefix, suffix] = latin;
  const western = [prefix, given, middle, family, suffix].filter(Boolean).join(" ");
  const own = plain(value?.Ideographic).filter(Boolean).join(" ");
  return own ? `${own}${western ? ` (${western})` : ""}` : western;
}

export function value(row, tag) {
  return row?.[tag]?.Value?.[0];
}

// Says something to those who do not see it.
export function announce(text) {
  const place = document.getElementById("announced");
  if (place) place.textContent = text;
}
