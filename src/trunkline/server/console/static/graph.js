// The graph of repos and pipelines. The page has the nodes as data (`graph-data`), which live.js
// keeps up to date; what changes of a node is changed in place, and all is arranged anew only when
// nodes or lines come or go.
import { HEIGHT, MANY, WIDTH, arrange, pathThrough, shapeOf, shownOf } from "./graph_layout.js";
import { make, makeSvg, show, tell } from "./graph_parts.js";
import { everywhere } from "./said.js";

const ZOOM_MIN = 0.2;
const ZOOM_MAX = 1.5;

// A node with what its name says; `model/names.py` has the same rule.
function complete(node) {
  const parts = node.name.split("/");
  const label = parts.pop();
  return { ...node, label, project: parts[0] ?? "default" };
}

class Graph {
  constructor(frame, dagre) {
    this.dagre = dagre;
    this.data = document.getElementById("graph-data");
    this.view = frame.querySelector(".graph-view");
    this.plane = frame.querySelector(".graph-plane");
    this.panel = frame.querySelector(".graph-panel");
    this.projects = frame.querySelector(".graph-projects");
    this.lines = makeSvg("svg", { class: "graph-lines", "aria-hidden": "true" });
    this.plane.append(this.lines);
    this.elements = new Map();
    this.items = new Map();
    this.open = null; // projects that are drawn node by node
    this.shape = "";
    this.zoom = 0;
    this.chosen = decodeURIComponent(location.hash.slice(1));
    this.listen(frame);
    this.update();
    new MutationObserver(() => this.update()).observe(this.data, { subtree: true, childList: true, characterData: true });
  }

  update() {
    this.nodes = JSON.parse(this.data.textContent).map(complete);
    this.byName = new Map(this.nodes.map((node) => [node.name, node]));
    this.names = [...new Set(this.nodes.map((node) => node.project))].sort();
    if (this.open === null) {
      const few = this.nodes.length <= MANY || this.names.length === 1;
      const asked = this.byName.get(this.chosen)?.project || this.data.dataset.project;
      this.open = new Set(few ? this.names : asked ? [asked] : []);
    }
    this.draw();
  }

  draw() {
    this.items = shownOf(this.nodes, this.open);
    const shape = shapeOf(this.items);
    if (shape !== this.shape) {
      this.shape = shape;
      this.place(arrange(this.items, this.dagre));
      this.offer();
    }
    for (const item of this.items.values()) show(this.elements.get(item.id), item);
    for (const { to, line } of this.drawn) {
      const item = this.items.get(to);
      const busy = item.members.some((node) => node.tone === "busy");
      line.setAttribute("class", busy ? "flowing" : "");
    }
    if (this.byName.has(this.chosen) && this.elements.has(this.chosen)) this.choose(this.chosen);
  }

  place({ width, height, places, lines }) {
    this.width = width;
    this.height = height;
    this.places = places;
    const fresh = new Map();
    for (const [id, { x, y }] of places) {
      const element = this.elements.get(id) ?? this.element(id);
      element.style.transform = `translate(${x}px, ${y}px)`;
      fresh.set(id, element);
    }
    for (const [id, element] of this.elements) if (!fresh.has(id)) element.remove();
    this.elements = fresh;
    this.plane.append(...fresh.values());
    this.lines.setAttribute("width", width);
    this.lines.setAttribute("height", height);
    this.drawn = lines.map(({ from, to, path }) => ({ from, to, line: makeSvg("path", { d: path }) }));
    this.lines.replaceChildren(...this.drawn.map(({ line }) => line));
    this.rove(fresh.values().next().value);
    this.scale(this.zoom || this.fitting());
  }

  element(id) {
    const element = make("a", "node");
    element.dataset.id = id;
    element.href = "#" + encodeURIComponent(id);
    element.tabIndex = -1;
    element.style.width = `${WIDTH}px`;
    element.style.height = `${HEIGHT}px`;
    return element;
  }

  // --- size -----------------------------------------------------------------------------------

  fitting() {
    const room = this.view.clientWidth / this.width;
    return Math.min(1, Math.max(room, this.items.size > MANY ? 0.45 : 0.6));
  }

  scale(zoom) {
    this.zoom = Math.min(ZOOM_MAX, Math.max(ZOOM_MIN, zoom));
    this.plane.style.transform = `scale(${this.zoom})`;
    this.plane.style.width = `${this.width * this.zoom}px`;
    this.plane.style.height = `${this.height * this.zoom}px`;
    this.view.style.height = `${Math.min(this.height * this.zoom + 4, innerHeight * 0.66)}px`;
  }

  // --- what is looked at ------------------------------------------------------------------------

  light(id) {
    const on = id === null ? null : pathThrough(id, this.items);
    this.plane.classList.toggle("lit", on !== null);
    for (const [name, element] of this.elements) element.classList.toggle("on", on?.has(name) ?? false);
    for (const { from, to, line } of this.drawn) {
      line.classList.toggle("on", (on?.has(from) && on.has(to)) ?? false);
    }
  }

  find(text) {
    const wanted = text.trim().toLowerCase();
    this.plane.classList.toggle("finding", wanted !== "");
    for (const item of this.items.values()) {
      const found = item.members.some((node) => node.name.toLowerCase().includes(wanted));
      this.elements.get(item.id).classList.toggle("found", wanted !== "" && found);
    }
  }

  rove(element) {
    for (const other of this.elements.values()) other.tabIndex = -1;
    if (element) element.tabIndex = 0;
  }

  choose(name) {
    const node = this.byName.get(name);
    if (!node) return;
    if (!this.open.has(node.project)) {
      this.open.add(node.project);
      this.chosen = name;
      this.draw();
      return;
    }
    const readers = this.nodes.filter((one) => one.reads?.includes(name)).map((one) => one.name);
    this.chosen = name;
    history.replaceState(null, "", `#${encodeURIComponent(name)}`);
    for (const [id, element] of this.elements) element.classList.toggle("chosen", id === name);
    tell(this.panel, node, readers, (other) => this.go(other), () => this.close());
    this.panel.hidden = false;
    this.elements.get(name)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  go(name) {
    this.choose(name);
    const element = this.elements.get(name);
    element?.focus({ preventScroll: true });
  }

  close() {
    this.panel.hidden = true;
    history.replaceState(null, "", location.pathname + location.search);
    const element = this.elements.get(this.chosen);
    element?.classList.remove("chosen");
    element?.focus();
    this.chosen = "";
  }

  // Buttons that draw a project as one node, or node by node.
  offer() {
    this.projects.replaceChildren();
    if (this.names.length < 2) return;
    for (const name of this.names) {
      const button = make("button", "toggle", name);
      button.type = "button";
      button.setAttribute("aria-pressed", String(this.open.has(name)));
      button.addEventListener("click", () => this.toggle(name));
      this.projects.append(button);
    }
  }

  toggle(project) {
    if (!this.open.delete(project)) this.open.add(project);
    this.draw();
    this.goTo(project);
    const shown = [...this.projects.children].find((button) => button.textContent === project);
    shown?.focus();
  }

  // Shows where a project that was opened begins.
  goTo(project) {
    const own = this.nodes.filter((node) => node.project === project && this.places.has(node.name));
    const places = own.map((node) => this.places.get(node.name));
    places.sort((a, b) => a.x - b.x || a.y - b.y);
    if (places.length) this.view.scrollTo((places[0].x - 40) * this.zoom, (places[0].y - 40) * this.zoom);
  }

  // --- pointer and keys -------------------------------------------------------------------------

  listen(frame) {
    const nodeOf = (event) => event.target.closest(".node");
    this.plane.addEventListener("mouseover", (event) => {
      const node = nodeOf(event);
      this.light(node ? node.dataset.id : null);
    });
    this.plane.addEventListener("mouseleave", () => this.light(null));
    this.plane.addEventListener("focusin", (event) => {
      this.rove(nodeOf(event));
      this.light(nodeOf(event).dataset.id);
    });
    this.plane.addEventListener("focusout", () => this.light(null));
    this.plane.addEventListener("click", (event) => {
      const node = nodeOf(event);
      if (!node || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      const item = this.items.get(node.dataset.id);
      if (item.group) this.toggle(item.node.project);
      else this.choose(item.id);
    });
    this.plane.addEventListener("keydown", (event) => this.step(event, nodeOf(event)));
    frame.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !this.panel.hidden) this.close();
    });
    frame.querySelector("[data-find]")?.addEventListener("input", (event) => this.find(event.target.value));
    for (const button of frame.querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => {
        const by = Number(button.dataset.zoom);
        this.scale(by ? this.zoom * by : this.view.clientWidth / this.width);
      });
    }
    this.drag();
  }

  // Arrows go along the lines, and up and down among what stands above each other.
  step(event, node) {
    const item = this.items.get(node?.dataset.id);
    if (!item) return;
    const { x, y } = this.places.get(item.id);
    const all = [...this.places].map(([id, place]) => ({ id, ...place }));
    const near = (one) => Math.abs(one.y - y) + Math.abs(one.x - x) / 10;
    const ways = {
      ArrowLeft: (one) => item.reads.has(one.id),
      ArrowRight: (one) => this.items.get(one.id).reads.has(item.id),
      ArrowUp: (one) => Math.abs(one.x - x) < WIDTH && one.y < y,
      ArrowDown: (one) => Math.abs(one.x - x) < WIDTH && one.y > y,
    };
    const wanted = ways[event.key];
    if (!wanted) return;
    event.preventDefault();
    const next = all.filter(wanted).sort((a, b) => near(a) - near(b))[0];
    if (next) this.elements.get(next.id).focus();
  }

  drag() {
    let from = null;
    this.view.addEventListener("pointerdown", (event) => {
      if (event.target.closest(".node") || event.pointerType === "touch") return;
      from = { x: event.clientX + this.view.scrollLeft, y: event.clientY + this.view.scrollTop };
    });
    addEventListener("pointermove", (event) => {
      if (!from) return;
      this.view.scrollTo(from.x - event.clientX, from.y - event.clientY);
    });
    addEventListener("pointerup", () => (from = null));
  }
}

everywhere("#graph", async (frame) => {
  const dagre = await import("./vendor/dagre.esm.js");
  frame.hidden = false;
  frame.graph = new Graph(frame, dagre);
});
