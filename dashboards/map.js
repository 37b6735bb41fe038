// A map without tiles: the province's outline, cameras and incidents as SVG. It needs nothing but this file.
const NS = "http://www.w3.org/2000/svg", JOIN_PX = 90, MOST_ZOOM = 4000;
const SHAPES = {
  live: "M-7 0a7 7 0 1 0 14 0a7 7 0 1 0-14 0z", connecting: "M-7 0a7 7 0 1 0 14 0a7 7 0 1 0-14 0z",
  stalled: "M0-8.5L8.5 6.5H-8.5z", not_analysed: "M0-8.5L8.5 0L0 8.5L-8.5 0z",
  failed: "M-7-7H7V7H-7z", ended: "M-6-6H6V6H-6z", paused: "M-6-6H6V6H-6z", silent: "M-7-7H7V7H-7z", off: "M-6-6H6V6H-6z",
};
const STYLE = `
  :host, .map { display: block; position: relative; font: 12.5px/1.3 var(--st-font, sans-serif); color: var(--st-text-color); }
  svg { display: block; width: 100%; border-radius: 8px; border: 1px solid var(--hb-edge); background: var(--hb-ground);
    touch-action: none; cursor: grab; }
  svg.held { cursor: grabbing; }
  .land { fill: var(--st-background-color); stroke: var(--hb-quiet); stroke-width: 1.2; stroke-linejoin: round; }
  .mark { cursor: pointer; outline: none; }
  .mark:focus-visible > .focus, .mark:hover > .focus { opacity: 1; }
  .focus { fill: none; stroke: var(--st-primary-color); stroke-width: 2; opacity: 0; }
  .shape { stroke: var(--st-background-color); stroke-width: 1.5; fill: currentColor; }
  .hollow { fill: var(--st-background-color); stroke: currentColor; stroke-width: 2.5; }
  .live { color: var(--hb-live); } .connecting { color: var(--hb-connecting); }
  .stalled, .not_analysed { color: var(--hb-stalled); } .failed { color: var(--hb-failed); }
  .ended, .paused, .silent, .off { color: var(--hb-quiet); }
  .sign { fill: var(--st-background-color); font-size: 11px; font-weight: 700; text-anchor: middle; pointer-events: none; }
  .name { fill: var(--st-text-color); paint-order: stroke; stroke: var(--st-background-color); stroke-width: 3.5px; text-anchor: middle;
    pointer-events: none; }
  .pill { fill: var(--st-background-color); stroke: var(--hb-edge); }
  .pill-name { fill: var(--st-text-color); font-weight: 600; text-anchor: middle; pointer-events: none; }
  .pill-states { text-anchor: middle; font-weight: 650; pointer-events: none; } .pill-states tspan { fill: currentColor; }
  .alarm path { fill: var(--hb-failed); stroke: var(--st-background-color); stroke-width: 1.5; }
  .alarm.seen path { fill: var(--hb-stalled); }
  .alarm text { fill: var(--st-background-color); font-size: 11px; font-weight: 700; text-anchor: middle; pointer-events: none; }
  .tools { position: absolute; top: 8px; right: 8px; display: grid; gap: 4px; }
  button { width: 30px; height: 30px; border: 1px solid var(--hb-edge); border-radius: 6px; font-size: 16px; line-height: 1; cursor: pointer;
    color: inherit; background: var(--st-background-color); }
  button:focus-visible { outline: 2px solid var(--st-primary-color); }
  .note { position: absolute; left: 10px; bottom: 6px; font-size: 11px; color: var(--hb-quiet); pointer-events: none; max-width: 80%; }
`;

function element(name, attributes, parent) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (parent) parent.append(made);
  return made;
}

class ProvinceMap {
  constructor(root) {
    const style = document.createElement("style");
    style.textContent = STYLE;
    this.box = document.createElement("div");
    this.box.className = "map";
    root.append(style, this.box);
    this.svg = element("svg", { role: "group" }, this.box);
    this.land = element("g", {}, this.svg);
    this.marks = element("g", {}, this.svg);
    const tools = document.createElement("div");
    tools.className = "tools";
    this.buttons = [["+", () => this.zoom(1.6)], ["−", () => this.zoom(1 / 1.6)], ["⌂", () => { this.view = null; this.draw(); }]].map(
      ([sign, act]) => {
        const button = document.createElement("button");
        button.textContent = sign;
        button.onclick = act;
        tools.append(button);
        return button;
      });
    this.note = document.createElement("div");
    this.note.className = "note";
    this.box.append(tools, this.note);
    this.view = null;  // {x, y: centre in map units, scale: pixels a unit}
    this.svg.addEventListener("wheel", event => {
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 1.25 : 0.8, event.offsetX, event.offsetY);
    }, { passive: false });
    this.svg.addEventListener("pointerdown", event => {
      if (!event.target.closest(".mark")) this.held = { x: event.clientX, y: event.clientY };
    });
    this.svg.addEventListener("pointermove", event => {
      if (!this.held || !this.view || !event.buttons) { this.held = null; this.svg.classList.remove("held"); return; }
      this.svg.classList.add("held");
      this.view.x -= (event.clientX - this.held.x) / this.view.scale;
      this.view.y -= (event.clientY - this.held.y) / this.view.scale;
      this.held = { x: event.clientX, y: event.clientY };
      this.draw();
    });
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.box);
  }

  tell(data, trigger) {
    const told = JSON.stringify(data);
    this.trigger = trigger;
    if (told === this.told) return;  // a rerun with no news leaves the focus where it is
    this.told = told;
    this.data = data;
    const points = [...data.outline.flat(), ...data.cameras.map(one => [one.lon, one.lat])];
    const middle = points.length ? points.reduce((sum, p) => sum + p[1], 0) / points.length : 0;
    this.narrow = Math.cos((middle * Math.PI) / 180);  // a degree of longitude against one of latitude
    this.points = points.map(p => this.place(p));
    this.svg.setAttribute("aria-label", data.words.title);
    [data.words.closer, data.words.further, data.words.whole].forEach((word, index) => {
      this.buttons[index].title = word;
      this.buttons[index].setAttribute("aria-label", word);
    });
    this.note.textContent = data.note;
    this.draw();
  }

  place([lon, lat]) { return [lon * (this.narrow || 1), -lat]; }

  fit(points, least) {
    const xs = points.map(p => p[0]), ys = points.map(p => p[1]);
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const scale = Math.min((this.width - 70) / Math.max(right - left, least), (this.height - 60) / Math.max(bottom - top, least));
    this.view = { x: (left + right) / 2, y: (top + bottom) / 2, scale };
  }

  zoom(factor, px = this.width / 2, py = this.height / 2) {
    if (!this.view) return;
    const [x, y] = [this.view.x + (px - this.width / 2) / this.view.scale, this.view.y + (py - this.height / 2) / this.view.scale];
    this.view.scale = Math.min(Math.max(this.view.scale * factor, 30), 60 * MOST_ZOOM);
    this.view.x = x - (px - this.width / 2) / this.view.scale;
    this.view.y = y - (py - this.height / 2) / this.view.scale;
    this.draw();
  }

  at(point) {
    const [x, y] = this.place(point);
    return [(x - this.view.x) * this.view.scale + this.width / 2, (y - this.view.y) * this.view.scale + this.height / 2];
  }

  draw() {
    const data = this.data;
    this.width = this.box.clientWidth;
    if (!data || !this.width) return;
    this.height = data.height;
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    this.svg.style.height = this.height + "px";
    if (!this.view && this.points.length) this.fit(this.points, 0.02);
    const focused = this.marks.getRootNode().activeElement?.dataset?.key;
    this.land.replaceChildren();
    this.marks.replaceChildren();
    for (const ring of data.outline) {
      element("polygon", { class: "land", points: ring.map(p => this.at(p).map(n => n.toFixed(1)).join()).join(" ") }, this.land);
    }
    const alarms = Object.groupBy(data.incidents, one => one.camera);
    this.taken = [];
    const districts = Object.values(Object.groupBy(data.cameras, one => one.district));
    const [joined, single] = [true, false].map(join => districts.filter(cameras => this.joins(cameras) === join));
    for (const cameras of single) this.apart(cameras, alarms);
    for (const cameras of joined) this.cluster(cameras, alarms);
    if (focused) this.marks.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  wide(cameras) {
    const places = cameras.map(one => this.at([one.lon, one.lat]));
    return places.reduce((most, p) => Math.max(most, Math.hypot(p[0] - places[0][0], p[1] - places[0][1])), 0);
  }

  joins(cameras) { return cameras.length > 1 && this.wide(cameras) < JOIN_PX && this.view.scale < 60 * MOST_ZOOM; }

  apart(cameras, alarms) {
    const roomy = cameras.length === 1 || this.wide(cameras) > 45 * Math.sqrt(cameras.length) && this.view.scale > 1500;
    for (const one of cameras) this.camera(one, this.at([one.lon, one.lat]), alarms[one.id] || [], roomy);
  }

  mark(key, label, act, [x, y]) {
    const group = element("g", { class: "mark", tabindex: 0, role: "button", "aria-label": label, "data-key": key,
      transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` }, this.marks);
    element("title", {}, group).textContent = label;
    group.addEventListener("click", act);
    group.addEventListener("keydown", event => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); act(); }
    });
    return group;
  }

  camera(one, place, incidents, roomy) {
    const said = `${one.name}: ${one.said}` + (one.surveyed ? "" : ` (${this.data.words.guessed})`);
    const group = this.mark(one.id, said, () => this.trigger("camera", one.id), place);
    group.classList.add(one.state);
    element("circle", { class: "focus", r: 13 }, group);
    const hollow = one.state === "connecting" || one.state === "silent" || one.state === "off";
    element("path", { class: hollow ? "hollow" : "shape", d: SHAPES[one.state] || SHAPES.silent }, group);
    const sign = { failed: "✕", paused: "‖", silent: "?" }[one.state];
    if (sign) {
      const text = element("text", { class: "sign", y: 4 }, group);
      text.textContent = sign;
      if (hollow) text.style.fill = "currentColor";
    }
    if (roomy) element("text", { class: "name", y: 23 }, group).textContent = one.name;
    if (incidents.length) this.alarm(incidents, [place[0] + 12, place[1] - 11]);
  }

  cluster(cameras, alarms) {
    const places = cameras.map(one => this.at([one.lon, one.lat]));
    const middle = [0, 1].map(k => places.reduce((sum, p) => sum + p[k], 0) / places.length);
    const name = this.data.districts[cameras[0].district] || cameras[0].district;
    const states = Object.entries(Object.groupBy(cameras, one => one.state))
      .sort((a, b) => this.data.order.indexOf(a[0]) - this.data.order.indexOf(b[0]));
    const said = states.map(([, of]) => `${of.length} ${of[0].said}`).join(", ");
    const key = "district " + cameras[0].district, half = Math.max(name.length * 3.7, states.length * 20) + 10;
    // Pills stand below one another where their districts lie too near.
    const near = other => Math.abs(other[1] - middle[1]) < 44 && Math.abs(other[0] - middle[0]) < other[2] + half + 6;
    for (let other; (other = this.taken.find(near));) middle[1] = other[1] + 44.5;
    this.taken.push([...middle, half]);
    const group = this.mark(key, `${name}: ${said}`, () => {
      this.fit(cameras.map(one => this.place([one.lon, one.lat])), 0.004);
      this.draw();
    }, middle);
    element("rect", { class: "focus", x: -half - 3, y: -22, width: 2 * half + 6, height: 44, rx: 11 }, group);
    element("rect", { class: "pill", x: -half, y: -19, width: 2 * half, height: 38, rx: 8 }, group);
    element("text", { class: "pill-name", y: -4 }, group).textContent = name;
    const line = element("text", { class: "pill-states", y: 13 }, group);
    states.forEach(([state, of], index) => {
      const part = element("tspan", { class: state, dx: index ? 8 : 0 }, line);
      part.textContent = `${of[0].sign} ${of.length}`;
    });
    const open = cameras.flatMap(one => alarms[one.id] || []);
    if (open.length) this.alarm(open, [middle[0] + half, middle[1] - 19]);
  }

  alarm(incidents, place) {
    const first = incidents[0];
    const label = this.data.words.incidents + ": " + incidents.slice(0, 5).map(one => `#${one.number} ${one.said}`).join(", ");
    const group = this.mark("incident " + first.number, label, () => this.trigger("incident", first.number), place);
    group.classList.add("alarm");
    if (!incidents.some(one => one.fresh)) group.classList.add("seen");
    element("circle", { class: "focus", r: 13 }, group);
    element("path", { d: "M0-10L10 0L0 10L-10 0z" }, group);
    element("text", { y: 4 }, group).textContent = incidents.length > 1 ? incidents.length : "!";
  }
}

export default function ({ parentElement, data, setTriggerValue }) {
  parentElement.map ||= new ProvinceMap(parentElement);
  parentElement.map.tell(data, setTriggerValue);
}
