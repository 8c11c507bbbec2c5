// Which nodes of the graph are shown, and where. Nothing here touches the page.

export const WIDTH = 216;
export const HEIGHT = 62;
export const MANY = 60; // from here on projects are drawn as one node each, until they are opened

// What is shown of `nodes`: each as it is, or one for its project where that is not in `open`.
export function shownOf(nodes, open) {
  const items = new Map();
  const place = new Map(nodes.map((node) => [node.name, itemOf(node, open)]));
  for (const node of nodes) {
    const id = place.get(node.name);
    if (!items.has(id)) {
      const group = id !== node.name;
      items.set(id, { id, group, node, members: [], reads: new Set() });
    }
    const item = items.get(id);
    item.members.push(node);
    for (const name of node.reads ?? []) {
      const before = place.get(name);
      if (before !== undefined && before !== id) item.reads.add(before);
    }
  }
  return items;
}

const itemOf = (node, open) => (open.has(node.project) ? node.name : `project ${node.project}`);

// The same for the same nodes and lines: they then stay where they are.
export const shapeOf = (items) =>
  JSON.stringify([...items.values()].map((item) => [item.id, ...item.reads]));

// Places for all of them, from the left to the right, and the lines between them.
export function arrange(items, dagre) {
  const graph = new dagre.Graph();
  const many = items.size > 150;
  graph.setGraph({
    rankdir: "LR",
    nodesep: many ? 10 : 18,
    ranksep: 64,
    edgesep: 8,
    marginx: 20,
    marginy: 20,
    ranker: many ? "tight-tree" : "network-simplex",
  });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const id of items.keys()) graph.setNode(id, { width: WIDTH, height: HEIGHT });
  for (const item of items.values()) {
    for (const before of item.reads) graph.setEdge(before, item.id);
  }
  dagre.layout(graph);
  const { width, height } = graph.graph();
  const places = new Map();
  for (const id of items.keys()) {
    const { x, y } = graph.node(id);
    places.set(id, { x: x - WIDTH / 2, y: y - HEIGHT / 2 });
  }
  const lines = graph.edges().map(({ v, w }) => {
    const { points } = graph.edge(v, w);
    const from = graph.node(v);
    const to = graph.node(w);
    if (from.x < to.x) {
      points[0] = { x: from.x + WIDTH / 2, y: from.y };
      points[points.length - 1] = { x: to.x - WIDTH / 2, y: to.y };
    }
    return { from: v, to: w, path: curve(points) };
  });
  return { width: width || 0, height: height || 0, places, lines };
}

// A line through points that leaves and arrives level.
function curve(points) {
  let path = `M${round(points[0].x)} ${round(points[0].y)}`;
  for (let i = 1; i < points.length; i += 1) {
    const a = points[i - 1];
    const b = points[i];
    const middle = round((a.x + b.x) / 2);
    path += `C${middle} ${round(a.y)} ${middle} ${round(b.y)} ${round(b.x)} ${round(b.y)}`;
  }
  return path;
}

const round = (number) => Math.round(number * 10) / 10;

// Everything before and behind an item, itself included.
export function pathThrough(id, items) {
  const behind = new Map();
  for (const item of items.values()) {
    for (const before of item.reads) {
      if (!behind.has(before)) behind.set(before, []);
      behind.get(before).push(item.id);
    }
  }
  const on = new Set([id]);
  for (const next of [(at) => items.get(at)?.reads ?? [], (at) => behind.get(at) ?? []]) {
    const waiting = [id];
    const seen = new Set(waiting);
    while (waiting.length) {
      for (const other of next(waiting.pop())) {
        if (seen.has(other)) continue;
        seen.add(other);
        on.add(other);
        waiting.push(other);
      }
    }
  }
  return on;
}
