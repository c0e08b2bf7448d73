// The stack: one picture of many, by touch, wheel, keyboard, slider and buttons.

import * as api from "./api.js";
import { announce, h, t } from "./dom.js";
import { gestures } from "./gestures.js";
import { Pictures } from "./pictures.js";

const WINDOWS = ["default", "brain", "subdural", "lung", "bone", "abdomen", "mediastinum"];
const FIRST_SIZE = 512;
const LARGEST = 2048;
const CINE_PER_SECOND = 12;
const MOST_ZOOM = 8;

export class Stack {
  constructor({ isCt, failed, label }) {
    this.failed = failed;
    this.label = label;
    this.slices = [];
    this.index = 0;
    this.zoom = { scale: 1, x: 0, y: 0 };
    this.build(isCt);
    this.stopGestures = gestures(this.stage, this);
  }

  build(isCt) {
    const press = (key, act, text = key) => h("button", { type: "button", "aria-label": t(key), title: t(key), onclick: act }, text);
    this.canvas = h("canvas", { width: 1, height: 1 });
    this.veil = h("div", { class: "veil" }, t("loading"));
    this.stage = h(
      "div",
      { class: "stage", tabindex: "0", role: "img", "aria-label": this.label, "aria-describedby": "help", onkeydown: (event) => this.key(event) },
      this.canvas,
      this.veil,
    );
    this.problem = h("div", { class: "message", role: "alert" });
    this.slider = h("input", { type: "range", min: "1", max: "1", value: "1", "aria-label": t("position"), oninput: () => this.show(this.slider.value - 1) });
    this.position = h("span", { class: "position" });
    this.play = press("play", () => this.toggleCine(), "▶");
    this.windows = h("select", { "aria-label": t("window"), onchange: () => this.setWindow(this.windows.value) });
    this.windows.append(...WINDOWS.map((name) => h("option", { value: name }, t(`window_${name}`))));
    this.browse = h("div", { class: "row" }, press("previous", () => this.step(-1), "‹"), this.slider, press("next", () => this.step(1), "›"), this.position);
    const tools = h("div", { class: "row tools" }, isCt ? this.windows : null, press("smaller", () => this.zoomBy(1 / 1.5), "−"), press("larger", () => this.zoomBy(1.5), "+"), press("reset", () => this.resetZoom(), "⤢"), this.play);
    this.view = h("div", { class: "stack" }, this.stage, this.problem, this.browse, tools, h("p", { id: "help", class: "hint" }, t("help")));
  }

  // A picture of the middle of the series, before it is known what else there is.
  async showEarly({ blob }) {
    if (!this.pictures) await this.draw(blob, () => !this.pictures, "early");
  }

  open(slices) {
    this.slices = slices;
    this.pictures = new Pictures(slices, this.failed);
    const many = slices.length > 1;
    this.browse.hidden = this.play.hidden = !many;
    this.slider.max = Math.max(1, slices.length);
    if (!slices.length) this.veil.textContent = t("noPictures");
    else this.show(this.middle());
  }

  // Of one image its middle frame, of several the middle image: what the thumbnail shows.
  middle() {
    const images = [...new Set(this.slices.map((slice) => slice.instance))];
    const chosen = this.slices.findIndex((slice) => slice.instance === images[Math.floor(images.length / 2)]);
    const frames = this.slices.filter((slice) => slice.instance === this.slices[chosen].instance).length;
    return chosen + Math.floor((frames - 1) / 2);
  }

  step(by) {
    this.show(this.index + by);
  }

  async show(index) {
    const at = Math.max(0, Math.min(this.slices.length - 1, Math.round(index)));
    if (!this.pictures || !this.slices.length) return;
    const direction = at < this.index ? -1 : 1;
    this.index = at;
    this.say();
    const isCurrent = this.begin();
    this.wait(this.pictures.has(at));
    try {
      const shown = await this.pictures.look(at, direction);
      if (shown && isCurrent()) await this.display(shown, isCurrent);
    } catch (error) {
      if (error.name !== "AbortError" && isCurrent()) this.explain(error, at);
    }
  }

  // What was asked for before is not drawn any more, whenever its answer comes: another slice, or the same otherwise bright.
  begin() {
    const isCurrent = () => this.isCurrent === isCurrent && this.pictures;
    return (this.isCurrent = isCurrent);
  }

  // The picture before stays, dimmed, until this one is there: it must not pass for it.
  wait(isThere) {
    this.problem.replaceChildren();
    clearTimeout(this.waiting);
    if (!isThere) this.waiting = setTimeout(() => this.stage.classList.add("busy"), 120);
  }

  async display(shown, isCurrent) {
    if (shown.blob) await this.draw(shown.blob, isCurrent);
    else {
      this.blank(t(`reason_${shown.reason}`).replace(/^reason_.*/, t("notShown")));
      this.stage.dataset.shown = String(this.index + 1);
    }
    // Another slice may have come to be waited for while this one was drawn.
    if (!isCurrent()) return;
    clearTimeout(this.waiting);
    this.refine(isCurrent);
  }

  async draw(blob, isCurrent, shown = String(this.index + 1)) {
    const bitmap = await createImageBitmap(blob);
    if (isCurrent()) {
      this.canvas.width = bitmap.width;
      this.canvas.height = bitmap.height;
      this.canvas.getContext("2d").drawImage(bitmap, 0, 0);
      this.canvas.hidden = false;
      this.veil.textContent = "";
      this.stage.classList.remove("busy");
      this.stage.dataset.shown = shown;
    }
    bitmap.close();
  }

  blank(text) {
    this.canvas.hidden = true;
    this.veil.textContent = text;
    this.stage.classList.remove("busy");
    delete this.stage.dataset.shown;
  }

  explain(error, at) {
    clearTimeout(this.waiting);
    if (error instanceof api.Over) return this.failed(error);
    this.blank("");
    this.problem.replaceChildren(h("p", {}, t("pictureNotNow")), h("button", { onclick: () => this.show(at) }, t("again")));
  }

  // Once it stands still, as many pixels as the screen shows.
  refine(isCurrent) {
    clearTimeout(this.refining);
    this.refining = undefined;
    const slice = this.slices[this.index];
    const side = Math.max(this.stage.clientWidth, this.stage.clientHeight) * devicePixelRatio * this.zoom.scale;
    const size = side > 1024 ? LARGEST : 1024;
    if (side <= FIRST_SIZE || slice.pixels <= FIRST_SIZE || this.cine) return;
    const timer = setTimeout(async () => {
      try {
        const { blob } = await api.picture(slice, { size, window: this.pictures.window });
        const isNewest = () => this.refining === timer && isCurrent();
        if (blob && isNewest()) await this.draw(blob, isNewest);
      } catch {
        // The smaller picture stays.
      }
    }, 300);
    this.refining = timer;
  }

  say() {
    const text = t("pictureOf", { at: this.index + 1, of: this.slices.length });
    this.position.textContent = `${this.index + 1} / ${this.slices.length}`;
    this.slider.value = this.index + 1;
    this.slider.setAttribute("aria-valuetext", text);
    this.stage.setAttribute("aria-label", `${this.label}: ${text}`);
    clearTimeout(this.saying);
    this.saying = setTimeout(() => announce(text), 500);
  }

  setWindow(name) {
    this.pictures.window = name;
    this.show(this.index);
  }

  toggleCine() {
    clearInterval(this.cine);
    this.cine = this.cine ? null : setInterval(() => this.advance(), 1000 / CINE_PER_SECOND);
    const key = this.cine ? "pause" : "play";
    this.play.textContent = this.cine ? "❚❚" : "▶";
    this.play.title = t(key);
    this.play.setAttribute("aria-label", t(key));
  }

  // Cine shows no picture late: it waits for the next one.
  advance() {
    const next = (this.index + 1) % this.slices.length;
    if (this.pictures.has(next)) this.show(next);
    else this.coming ??= this.pictures.look(next, 1).catch(() => {}).finally(() => (this.coming = null));
  }

  zoomBy(factor, at = { x: 0, y: 0 }) {
    const scale = Math.max(1, Math.min(MOST_ZOOM, this.zoom.scale * factor));
    const ratio = scale / this.zoom.scale;
    const move = (place, middle) => middle - (middle - place) * ratio;
    this.zoom = { scale, x: move(this.zoom.x, at.x), y: move(this.zoom.y, at.y) };
    this.panBy(0, 0);
    if (this.isCurrent) this.refine(this.isCurrent);
  }

  panBy(x, y) {
    const most = (side) => (side * (this.zoom.scale - 1)) / 2;
    const held = (value, side) => Math.max(-most(side), Math.min(most(side), value));
    this.zoom.x = held(this.zoom.x + x, this.stage.clientWidth);
    this.zoom.y = held(this.zoom.y + y, this.stage.clientHeight);
    this.canvas.style.transform = `translate(${this.zoom.x}px, ${this.zoom.y}px) scale(${this.zoom.scale})`;
  }

  resetZoom() {
    this.zoom = { scale: 1, x: 0, y: 0 };
    this.panBy(0, 0);
  }

  key(event) {
    const steps = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: 10, PageUp: -10 };
    const acts = {
      Home: () => this.show(0),
      End: () => this.show(this.slices.length - 1),
      "+": () => this.zoomBy(1.25),
      "-": () => this.zoomBy(0.8),
      0: () => this.resetZoom(),
      " ": () => this.slices.length > 1 && this.toggleCine(),
    };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = steps[event.key] ? () => this.step(steps[event.key]) : acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  close() {
    for (const timer of [this.waiting, this.refining, this.saying]) clearTimeout(timer);
    clearInterval(this.cine);
    this.stopGestures();
    this.pictures?.clear();
    this.pictures = undefined;
    this.canvas.width = this.canvas.height = 1;
  }
}
