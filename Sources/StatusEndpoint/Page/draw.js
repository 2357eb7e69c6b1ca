// Numbers as people read them, and what is drawn: charts and the map of shards.
// Everything from outside becomes text or a number; nothing here parses text as markup.

const SVG = "http://www.w3.org/2000/svg";
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3, notation: "compact" });

export const count = (value) => (value < 100000 ? whole.format(value) : short.format(value));

export function bytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) { value /= 1000; unit += 1; }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export function span(milliseconds) {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export const micros = (value) => span(value / 1000);
export const rate = (value) => (value >= 10 || value === 0 ? count(value) : value.toFixed(1));

/** Sets text only when it changes, so that nothing is drawn or read aloud again for nothing. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets attributes only when they change; null takes one away. */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null) {
      if (element.hasAttribute(name)) element.removeAttribute(name);
    } else if (element.getAttribute(name) !== String(value)) {
      element.setAttribute(name, value);
    }
  }
  return element;
}

/** A new element with attributes and children, which are elements or text. */
export function make(name, attributes = {}, ...children) {
  const element = set(document.createElement(name), attributes);
  element.append(...children);
  return element;
}

const svg = (name, attributes = {}, ...children) => {
  const element = set(document.createElementNS(SVG, name), attributes);
  element.append(...children);
  return element;
};

/** Brings the children of `parent` in line with `items`: one child each, kept by key, in order. */
export function keyed(parent, items, key, create, update) {
  const old = parent.kept ?? new Map();
  const kept = new Map();
  let place = parent.firstChild;
  items.forEach((item, index) => {
    const name = key(item, index);
    const element = old.get(name) ?? create(item, index);
    old.delete(name);
    kept.set(name, element);
    if (element !== place) parent.insertBefore(element, place);
    place = element.nextSibling;
    update(element, item, index);
  });
  while (place) { const next = place.nextSibling; place.remove(); place = next; }
  parent.kept = kept;
}

// Charts.

const WIDTH = 300;
const HEIGHT = 48;

/** A small chart with a heading and the newest value. */
export function chart(title) {
  const value = make("b");
  const image = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
    svg("g", { class: "bands" }), svg("path", { class: "area" }), svg("path", { class: "base", d: `M0 ${HEIGHT}H${WIDTH}` }),
    svg("path", { class: "line" }));
  const figure = make("figure", { class: "chart" }, make("figcaption", {}, title), value, image);
  Object.assign(figure, { title_: title, value, image });
  return figure;
}

/**
 * Draws `points`, [time, value or null] in order, over the `window` milliseconds up to `end`. `bands` are spans of time,
 * [from, to], in which no probe was admitted. `format` writes a value, `now` is the newest one.
 */
export function draw(figure, { points, bands, end, window, gap, format, now }) {
  say(figure.value, now === null || now === undefined ? "–" : format(now));
  const known = points.filter(([, value]) => value !== null);
  const top = Math.max(...known.map(([, value]) => value), 0);
  const x = (time) => (Math.max(0, 1 - (end - time) / window) * WIDTH).toFixed(1);
  const y = (value) => (HEIGHT - 1.5 - (top > 0 ? value / top : 0) * (HEIGHT - 4)).toFixed(1);
  let line = "";
  let area = "";
  let run = [];
  const close = () => {
    if (run.length === 0) return;
    const path = run.map(([time, value]) => `${x(time)} ${y(value)}`).join("L");
    line += run.length === 1 ? `M${path}h.1` : `M${path}`;
    area += `M${x(run[0][0])} ${HEIGHT}L${path}L${x(run.at(-1)[0])} ${HEIGHT}Z`;
    run = [];
  };
  let last = null;
  for (const [time, value] of points) {
    if (value === null || (last !== null && time - last > gap)) close();
    if (value !== null) run.push([time, value]);
    last = time;
  }
  close();
  const [group, fill, , stroke] = figure.image.children;
  set(fill, { d: area });
  set(stroke, { d: line });
  keyed(group, bands, (band) => band[0], () => svg("rect", { class: "band", y: 0, height: HEIGHT }),
    (rect, [from, to]) => set(rect, { x: x(from), width: Math.max(1, x(to) - x(from)).toFixed(1) }));
  const low = Math.min(...known.map(([, value]) => value));
  const told = known.length === 0 ? "no values yet" : `lowest ${format(low)}, highest ${format(top)}`;
  set(figure.image, { "aria-label": `${figure.title_}, last 15 minutes: ${told}` });
}

/** The bar of a worker's load: full length is twice its fair share, the mark is the fair share. */
export function loadBar() {
  return svg("svg", { viewBox: "0 0 120 12", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "track", width: 120, height: 12, rx: 3 }), svg("rect", { class: "fill", height: 12, rx: 3 }),
    svg("path", { class: "fair", d: "M60 0V12" }));
}

export function drawLoad(bar, shards, fair) {
  const ratio = fair > 0 ? shards / fair : shards > 0 ? 2 : 0;
  const [, fill, mark] = bar.children;
  set(fill, { width: (Math.min(ratio, 2) * 60).toFixed(1), class: ratio > 1.25 ? "fill over" : "fill" });
  set(mark, { d: fair > 0 ? "M60 0V12" : "" });
}

// The map of shards.

/** Hues far apart for neighbours in the list: the golden angle. */
const hue = (owner) => Math.round((owner * 137.508 + 228) % 360);

/** Whether a shard's owner is lost: nobody serves it until the owner is back, or has certainly stopped. */
export function isOrphaned(shard, workers) { return workers[shard.owner]?.state === "lost"; }

export class ShardMap {
  constructor(map, detail) {
    this.map = map;
    this.detail = detail;
    this.hint = detail.textContent;
    this.told = [];
    this.picked = null;
    map.addEventListener("keydown", (event) => this.move(event));
    map.addEventListener("click", (event) => this.pick(this.indexOf(event.target)));
    map.addEventListener("pointerover", (event) => this.show(this.indexOf(event.target)));
    map.addEventListener("focusin", (event) => this.show(this.indexOf(event.target)));
    map.addEventListener("pointerleave", () => this.show(this.indexOf(document.activeElement)));
    map.addEventListener("focusout", () => this.show(-1));
  }

  indexOf(target) { return target?.parentNode === this.map ? [...this.map.children].indexOf(target) : -1; }

  update(shards, workers) {
    this.shards = shards;
    const focus = Math.min(this.focus ?? 0, shards.length - 1);
    keyed(this.map, shards, (_, index) => index, () => make("button", { type: "button", class: "cell" }),
      (cell, shard, index) => {
        const owner = shard.owner ?? null;
        const same = this.picked !== null && this.picked === (owner ?? "none");
        say(cell, owner === null ? "–" : String(owner + 1));
        set(cell, {
          class: `cell ${shard.state}${isOrphaned(shard, workers) ? " orphaned" : ""}${same ? " same" : ""}`, tabindex: index === focus ? 0 : -1,
          "aria-pressed": same, "aria-label": this.text(shard, index, workers),
        });
        const wanted = owner === null ? "" : String(hue(owner));
        if (cell.hue !== wanted) { cell.style.setProperty("--hue", wanted || "0"); cell.hue = wanted; }
      });
    this.map.classList.toggle("picked", this.picked !== null);
    this.workers = workers;
    if (this.shown >= 0) this.show(this.shown);
  }

  text(shard, index, workers) {
    if (shard.owner === undefined) return `Shard ${index}: without an owner for ${span(shard.unownedMilliseconds ?? 0)}`;
    const name = workers[shard.owner]?.identity ?? "unknown";
    const giving = isOrphaned(shard, workers) ? ", which is lost" : shard.state === "revoking" ? ", being given back" : "";
    return `Shard ${index}: ${name} (${shard.owner + 1})${giving}, epoch ${shard.epoch}`;
  }

  show(index) {
    this.shown = index;
    const shard = this.shards?.[index];
    say(this.detail, shard ? this.text(shard, index, this.workers) : this.hint);
  }

  pick(index) {
    const shard = this.shards?.[index];
    if (!shard) return;
    const owner = shard.owner ?? "none";
    this.picked = this.picked === owner ? null : owner;
    this.setFocus(index);
    this.update(this.shards, this.workers);
  }

  setFocus(index) {
    this.map.children[this.focus ?? 0]?.setAttribute("tabindex", -1);
    this.focus = index;
    this.map.children[index]?.setAttribute("tabindex", 0);
  }

  move(event) {
    const columns = getComputedStyle(this.map).gridTemplateColumns.split(" ").length;
    const last = this.map.children.length - 1;
    const at = this.indexOf(event.target);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns, Home: 0, End: last };
    if (at < 0 || !(event.key in to)) return;
    event.preventDefault();
    this.setFocus(Math.min(Math.max(to[event.key], 0), last));
    this.map.children[this.focus].focus();
  }
}
