// The elements of the graph: a node, and the panel that tells of one. Text is only ever text.
import { age } from "./times.js";

const ICONS = {
  repo: "M3 4c0-1 2.2-1.8 5-1.8S13 3 13 4s-2.2 1.8-5 1.8S3 5 3 4zm0 0v8c0 1 2.2 1.8 5 1.8s5-.8 5-1.8V4M3 8c0 1 2.2 1.8 5 1.8S13 9 13 8",
  pipeline: "M2 4.5h4v4H2zm8 3h4v4h-4zM6 6.5h2.2v3H10",
  project: "M2 4h4l1.5 1.5H14V13H2z",
};
const SVG = "http://www.w3.org/2000/svg";

export function make(tag, css, text = "") {
  const element = document.createElement(tag);
  if (css) element.className = css;
  if (text) element.textContent = text;
  return element;
}

export function makeSvg(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function icon(kind) {
  const svg = makeSvg("svg", { class: "icon", viewBox: "0 0 16 16", width: 16, height: 16 });
  svg.setAttribute("aria-hidden", "true");
  svg.append(makeSvg("path", { d: ICONS[kind] }));
  return svg;
}

function short(number) {
  if (number < 10000) return String(number);
  if (number < 1e6) return `${Math.round(number / 1000)}k`;
  return `${(number / 1e6).toFixed(1)}M`;
}

// Bytes as people say them; `render.size` has the same words.
function size(bytes) {
  if (bytes === null || bytes === undefined) return "";
  const units = ["B", "KB", "MB", "GB", "TB", "PB"];
  let left = bytes;
  let step = 0;
  for (; left >= 999.5 && step < units.length - 1; step += 1) left /= 1024;
  return `${left.toFixed(step && left < 9.95 ? 1 : 0)} ${units[step]}`;
}

// Long ids, and sentences of several lines, as all pages show them.
function brief(sentence) {
  const lines = sentence.split("\n").filter((line) => line.trim());
  const said = lines.length > 1 ? `${lines[0]} … ${lines.at(-1).trim()}` : sentence;
  return said.replace(/\b([0-9a-f]{8})[0-9a-f]{24,56}\b/g, "$1…");
}

function since(moment) {
  const time = make("time", "", age((Date.now() - Date.parse(moment)) / 1000));
  time.dateTime = moment;
  time.title = moment;
  return time;
}

function badges(node) {
  const found = [
    ["new", node.processed, "processed"],
    ["same", node.skipped, "skipped"],
    ["bad", node.failed, "failed"],
  ].filter(([, number]) => number);
  return found.map(([css, number, word]) => {
    const badge = make("span", `badge ${css}`, short(number));
    badge.title = `${number} ${word}`;
    return badge;
  });
}

// The worst of what is in a project, and how many there are of each kind.
function summary(members) {
  const tally = (wanted) => members.filter(wanted).length;
  const counts = [
    ["bad", tally((one) => one.tone === "bad"), "failing"],
    ["busy", tally((one) => one.tone === "busy"), "running"],
    ["wait", tally((one) => one.tone === "wait"), "waiting"],
  ].filter(([, number]) => number);
  return { tone: counts[0]?.[0] ?? "good", counts };
}

const drawn = new WeakMap(); // element to what it shows, so that nothing is done where it is equal

// Makes an element of the graph show an item.
export function show(element, item) {
  const said = JSON.stringify([item.group, item.group ? item.members : item.node]);
  if (drawn.get(element) === said) return;
  drawn.set(element, said);
  const top = make("span", "top");
  const under = make("span", "under");
  if (item.group) {
    const { tone, counts } = summary(item.members);
    element.className = `node group ${tone}`;
    top.append(icon("project"), make("span", "label", item.node.project));
    const words = counts.map(([, number, word]) => `${number} ${word}`);
    under.append(make("span", "", [`${item.members.length} node${item.members.length === 1 ? "" : "s"}`, ...words].join(" · ")));
    element.setAttribute("aria-label", `project ${item.node.project}: ${under.textContent}; open`);
  } else {
    const { node } = item;
    const kind = node.pipeline ? "pipeline" : "repo";
    element.className = `node ${kind} ${node.tone}${node.outside ? " outside" : ""}`;
    const label = make("span", "label");
    if (node.project !== "default") label.append(make("span", "at", `${node.project}/`));
    label.append(node.label);
    top.append(icon(kind), label);
    const state = node.tone === "good" ? (node.stale ? "stale" : "") : node.state;
    if (state) top.append(make("span", "state", state));
    const facts = make("span", "facts-line", size(node.size_bytes));
    if (node.changed) facts.append(facts.textContent && " · ", since(node.changed));
    under.append(facts, ...badges(node));
    const counted = `${node.processed ?? 0} processed, ${node.skipped ?? 0} skipped, ${node.failed ?? 0} failed`;
    element.setAttribute(
      "aria-label",
      [kind, node.name, node.state, node.pipeline ? counted : ""].filter(Boolean).join(", "),
    );
    element.title = node.name;
  }
  element.replaceChildren(top, under);
}

function fact(list, title, ...content) {
  const value = make("dd");
  value.append(...content);
  list.append(make("dt", "", title), value);
}

function others(names, choose) {
  return names.slice(0, 30).map((name) => {
    const button = make("button", "name-button", name);
    button.type = "button";
    button.addEventListener("click", () => choose(name));
    return button;
  });
}

// Where a node leads to, as the page says it for all nodes (`graph-links`).
function linksOf(node) {
  const known = JSON.parse(document.getElementById("graph-links").textContent);
  const words = { PROJECT: node.project, NAME: node.label, RUN: node.run };
  const has = { pipeline: node.pipeline, repo: !node.pipeline, run: node.run };
  return known
    .filter(([, of]) => of.split(" ").every((what) => has[what]))
    .map(([text, , address]) => [text, address.replace(/PROJECT|NAME|RUN/g, (word) => words[word])]);
}

// Fills the panel with what is known of a node; `choose` goes to another one.
export function tell(panel, node, readers, choose, close) {
  const head = make("div", "panel-head");
  const shut = make("button", "tool", "×");
  shut.type = "button";
  shut.setAttribute("aria-label", "Close");
  shut.addEventListener("click", close);
  const title = make("h2", "", node.name);
  title.id = "graph-panel-title";
  head.append(title, shut);
  const facts = make("dl", "facts");
  fact(facts, "What", node.pipeline ? "pipeline with its output repo" : "repo");
  if (node.state) fact(facts, "State", make("span", `chip ${node.tone}`, node.state));
  if (node.stale) fact(facts, "Stale", "its output is not made of what its inputs have now");
  if (node.reason) fact(facts, "Why", make("span", "why", brief(node.reason)));
  if (size(node.size_bytes)) fact(facts, "Size", size(node.size_bytes));
  if (node.changed) fact(facts, "Changed", since(node.changed));
  if (node.pipeline && node.total) {
    const said = `${node.processed ?? 0} processed, ${node.skipped ?? 0} skipped, ${node.failed ?? 0} failed of ${node.total}`;
    fact(facts, "Datums", said);
  }
  if (node.reads?.length) fact(facts, "Reads", ...others(node.reads, choose));
  if (readers.length) fact(facts, "Read by", ...others(readers, choose));
  const links = make("p", "actions");
  for (const [text, address] of linksOf(node)) {
    const link = make("a", "button", text);
    link.href = address;
    links.append(link);
  }
  panel.replaceChildren(head, facts, links);
}
