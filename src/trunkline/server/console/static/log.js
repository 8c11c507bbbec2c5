// A log that grows: `data-follow` has the address of the lines to come, one JSON value on each.
import { everywhere } from "./said.js";

const LINES_MAX = 5000; // kept on the page; the whole log can be downloaded

function append(log, line) {
  const row = document.createElement("div");
  row.className = ["stdout", "stderr", "worker"].includes(line.stream) ? line.stream : "";
  const time = document.createElement("time");
  time.textContent = line.time;
  const said = document.createElement("span");
  for (const [classes, text] of line.parts) {
    const piece = document.createElement("span");
    piece.className = classes;
    piece.textContent = text;
    said.append(piece);
  }
  row.append(time, said);
  log.append(row);
}

async function follow(log) {
  const leaving = new AbortController();
  addEventListener("pagehide", () => leaving.abort(), { once: true });
  const answer = await fetch(log.dataset.follow, { signal: leaving.signal });
  if (!answer.ok) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    for (const line of lines) append(log, JSON.parse(line));
    while (log.childElementCount > LINES_MAX) log.firstElementChild.remove();
    if (atEnd) log.scrollTop = log.scrollHeight;
  }
}

everywhere(".log .lines", (log) => {
  log.scrollTop = log.scrollHeight;
  if (log.dataset.follow) follow(log).catch(() => {}); // it ends as one leaves, or the server does
});
