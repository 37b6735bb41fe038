// Zones and lines on a still picture. Corners are dragged; a double click on an edge adds one, a right click takes one
// away. With the keyboard: Tab to a corner, arrows move it, Delete takes it away.
const NS = "http://www.w3.org/2000/svg", W = 1600, STEP = 0.005;
const STYLE = `
  .editor { max-width: 1080px; font: 14px/1.4 var(--st-font, sans-serif); color: var(--st-text-color); }
  .bar { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; margin-bottom: 8px; }
  button, input { font: inherit; padding: 4px 10px; border: 1px solid var(--hb-edge); border-radius: 6px; background: var(--st-background-color);
    color: inherit; }
  button { cursor: pointer; } button[aria-pressed=true] { border-color: var(--st-primary-color); color: var(--st-primary-color); font-weight: 600; }
  button:disabled { opacity: .45; cursor: default; } input { width: 9em; }
  svg { display: block; width: 100%; border-radius: 8px; background: #0d1218; touch-action: none; user-select: none; }
  svg.drawing { cursor: crosshair; }
  .zone { fill: #ffc861; fill-opacity: .16; stroke: #ffc861; stroke-width: 3; } .line { fill: none; stroke: #7cb7ff; stroke-width: 5; }
  .chosen .zone { fill-opacity: .3; stroke-width: 5; } .chosen .line { stroke-width: 8; }
  .under { fill: none; stroke: #000; stroke-opacity: .55; stroke-width: 9; }
  .corner { fill: #fff; stroke: #16202b; stroke-width: 3; cursor: grab; } .corner:focus { outline: none; fill: var(--st-primary-color); }
  text { font-size: 30px; font-weight: 650; fill: #fff; paint-order: stroke; stroke: #000; stroke-width: 7px; pointer-events: none; }
  .spot { fill: #ff8a80; fill-opacity: .8; stroke: #000; stroke-opacity: .5; pointer-events: none; }
  .hint { font-size: 13px; color: var(--hb-quiet); margin-top: 6px; }
`;

function element(name, attributes, parent) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent?.append(made);
  return made;
}

class Editor {
  constructor(root) {
    const style = document.createElement("style");
    style.textContent = STYLE;
    this.box = document.createElement("div");
    this.box.className = "editor";
    this.bar = document.createElement("div");
    this.bar.className = "bar";
    this.svg = element("svg", {});
    this.hint = document.createElement("div");
    this.hint.className = "hint";
    this.box.append(this.bar, this.svg, this.hint);
    root.append(style, this.box);
    this.held = null;  // the number of the corner that is dragged
    this.svg.addEventListener("pointerdown", event => this.pressed(event));
    this.svg.addEventListener("pointermove", event => this.moved(event));
    for (const end of ["pointerup", "pointercancel"]) this.svg.addEventListener(end, () => this.released());
    this.svg.addEventListener("contextmenu", event => event.preventDefault());
  }

  tell(data, change) {
    this.change = change;
    if (data.revision === this.revision) return;  // what is being drawn is not thrown away by a rerun
    this.revision = data.revision;
    this.data = data;
    this.height = W * data.height / data.width;
    // A line is kept as two points, as a zone is kept as many.
    this.shapes = [
      ...data.zones.map(zone => ({ kind: "zone", id: zone.id, points: zone.polygon.map(p => [...p]) })),
      ...data.lines.map(line => ({ kind: "line", id: line.id, points: [[...line.from], [...line.to]] })),
    ];
    this.chosen = this.shapes[0] || null;
    this.drawing = null;
    this.draw();
  }

  told() {
    this.change({
      zones: this.shapes.filter(s => s.kind === "zone").map(s => ({ id: s.id, polygon: s.points })),
      lines: this.shapes.filter(s => s.kind === "line").map(s => ({ id: s.id, from: s.points[0], to: s.points[1] })),
    });
  }

  at(event) {
    const box = this.svg.getBoundingClientRect(), bound = value => Math.min(1, Math.max(0, Math.round(value * 1e4) / 1e4));
    return [bound((event.clientX - box.left) / box.width), bound((event.clientY - box.top) / box.height)];
  }

  px([x, y]) { return `${(x * W).toFixed(1)},${(y * this.height).toFixed(1)}`; }

  pressed(event) {
    if (this.drawing) {
      event.preventDefault();
      this.drawing.points.push(this.at(event));
      if (this.drawing.kind === "line" && this.drawing.points.length === 2) this.closed();
      this.draw();
      return;
    }
    const corner = event.target.closest("[data-corner]");
    if (corner) {
      const index = Number(corner.dataset.corner);
      if (event.button === 2) this.without(index);
      else { this.held = index; this.svg.setPointerCapture(event.pointerId); }
      return;
    }
    const shape = event.target.closest("[data-shape]");
    if (shape) { this.chosen = this.shapes[Number(shape.dataset.shape)]; this.draw(); }
  }

  moved(event) {
    if (this.held === null || !this.chosen) return;
    this.chosen.points[this.held] = this.at(event);
    this.draw();
  }

  released() {
    if (this.held === null) return;
    this.held = null;
    this.told();
  }

  closed() {
    const drawn = this.drawing;
    this.drawing = null;
    if (drawn.points.length >= (drawn.kind === "line" ? 2 : 3)) {
      this.shapes.push(drawn);
      this.chosen = drawn;
      this.told();
    }
    this.draw();
  }

  without(index) {
    if (!this.chosen || this.chosen.points.length <= (this.chosen.kind === "line" ? 2 : 3)) return;
    this.chosen.points.splice(index, 1);
    this.told();
    this.draw();
  }

  begin(kind) {
    const taken = new Set(this.shapes.map(shape => shape.id));
    let number = 1;
    while (taken.has(`${kind}-${number}`)) number += 1;
    this.drawing = { kind, id: `${kind}-${number}`, points: [] };
    this.draw();
  }

  draw() {
    const words = this.data.words, active = this.box.getRootNode().activeElement;
    const focus = active?.dataset?.corner;
    this.svg.setAttribute("viewBox", `0 0 ${W} ${this.height}`);
    this.svg.classList.toggle("drawing", Boolean(this.drawing));
    this.svg.replaceChildren();
    element("image", { href: this.data.picture, width: W, height: this.height, preserveAspectRatio: "none" }, this.svg);
    for (const spot of this.data.spots) element("circle", { class: "spot", cx: spot[0] * W, cy: spot[1] * this.height, r: 7 }, this.svg);
    [...this.shapes, ...(this.drawing ? [this.drawing] : [])].forEach((shape, index) => this.shape(shape, index));
    if (focus !== undefined) this.svg.querySelector(`[data-corner="${focus}"]`)?.focus();
    this.tools(words);
    this.hint.textContent = this.drawing ? words.drawing[this.drawing.kind] : words.hint;
  }

  shape(shape, index) {
    const group = element("g", { "data-shape": index, class: shape === this.chosen ? "chosen" : "" }, this.svg);
    const points = shape.points.map(p => this.px(p)).join(" "), closed = shape.kind === "zone" && shape !== this.drawing;
    element(closed ? "polygon" : "polyline", { class: "under", points }, group);
    element(closed ? "polygon" : "polyline", { class: shape.kind, points }, group).addEventListener("dblclick", event => {
      if (shape.kind !== "zone" || this.drawing) return;
      this.chosen = shape;
      shape.points.splice(this.edge(shape, this.at(event)) + 1, 0, this.at(event));
      this.told();
      this.draw();
    });
    if (shape.points.length) {
      const [x, y] = shape.points[0];
      const name = element("text", { x: Math.min(x * W + 14, W - 160), y: Math.max(y * this.height - 14, 34) }, group);
      name.textContent = shape.id;
    }
    if (shape.kind === "line" && shape.points.length === 2) this.arrow(shape, group);
    if (shape !== this.chosen && shape !== this.drawing) return;
    shape.points.forEach((point, corner) => {
      const [cx, cy] = [point[0] * W, point[1] * this.height];
      const knob = element("circle", { class: "corner", cx, cy, r: 12, tabindex: 0, "data-corner": corner,
        "aria-label": `${shape.id} ${corner + 1}` }, group);
      knob.addEventListener("keydown", event => this.key(event, corner));
    });
  }

  // Which side is "forward": from A->B's left to its right.
  arrow(shape, group) {
    const [[x1, y1], [x2, y2]] = shape.points.map(([x, y]) => [x * W, y * this.height]);
    const long = Math.hypot(x2 - x1, y2 - y1) || 1, middle = [(x1 + x2) / 2, (y1 + y2) / 2];
    const right = [-(y2 - y1) / long * 46, (x2 - x1) / long * 46];
    const tip = [middle[0] + right[0], middle[1] + right[1]], half = [(x2 - x1) / long * 14, (y2 - y1) / long * 14];
    const base = [middle[0] + right[0] * 0.6, middle[1] + right[1] * 0.6];
    const points = [tip, [base[0] + half[0], base[1] + half[1]], [base[0] - half[0], base[1] - half[1]]];
    element("polygon", { points: points.map(p => p.map(n => n.toFixed(1)).join()).join(" "), fill: "#7cb7ff" }, group);
    const said = element("text", { x: tip[0] + 8, y: tip[1] + 10, style: "font-size:24px" }, group);
    said.textContent = this.data.words.forward;
  }

  edge(shape, [x, y]) {
    let best = 0, least = Infinity;
    shape.points.forEach(([x1, y1], index) => {
      const [x2, y2] = shape.points[(index + 1) % shape.points.length];
      const part = Math.max(0, Math.min(1, ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / ((x2 - x1) ** 2 + (y2 - y1) ** 2 || 1)));
      const far = Math.hypot(x - x1 - part * (x2 - x1), y - y1 - part * (y2 - y1));
      if (far < least) [best, least] = [index, far];
    });
    return best;
  }

  key(event, corner) {
    const step = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
    if (event.key === "Delete") { event.preventDefault(); this.without(corner); return; }
    if (!step || !this.chosen) return;
    event.preventDefault();
    const bound = value => Math.min(1, Math.max(0, Math.round(value * 1e4) / 1e4));
    const point = this.chosen.points[corner];
    this.chosen.points[corner] = [bound(point[0] + step[0]), bound(point[1] + step[1])];
    this.told();
    this.draw();
  }

  tools(words) {
    this.bar.replaceChildren();
    const button = (said, act, off = false, pressed) => {
      const made = document.createElement("button");
      made.textContent = said;
      made.disabled = off;
      if (pressed !== undefined) made.setAttribute("aria-pressed", pressed);
      made.onclick = act;
      this.bar.append(made);
      return made;
    };
    for (const shape of this.shapes) {
      button((shape.kind === "zone" ? "▱ " : "╱ ") + shape.id, () => { this.chosen = shape; this.draw(); }, Boolean(this.drawing), shape === this.chosen);
    }
    if (this.drawing) {
      button(words.close, () => this.closed(), this.drawing.kind === "zone" && this.drawing.points.length < 3);
      button(words.cancel, () => { this.drawing = null; this.draw(); });
      return;
    }
    button("+ " + words.zone, () => this.begin("zone"));
    button("+ " + words.line, () => this.begin("line"));
    if (!this.chosen) return;
    const name = document.createElement("input");
    name.value = this.chosen.id;
    name.setAttribute("aria-label", words.name);
    name.onchange = () => { this.chosen.id = name.value.trim(); this.told(); this.draw(); };
    this.bar.append(name);
    if (this.chosen.kind === "line") button("⇄ " + words.turn, () => { this.chosen.points.reverse(); this.told(); this.draw(); });
    button("✕ " + words.remove, () => {
      this.shapes = this.shapes.filter(shape => shape !== this.chosen);
      this.chosen = this.shapes[0] || null;
      this.told();
      this.draw();
    });
  }
}

export default function ({ parentElement, data, setStateValue }) {
  parentElement.editor ||= new Editor(parentElement);
  parentElement.editor.tell(data, shapes => setStateValue("drawn", shapes));
}
