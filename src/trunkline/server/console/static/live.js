// A page that shows what changes (`data-live` of its main part has the topics) asks for itself anew
// when the server says so, and takes over what is different, element by element: nothing flickers,
// and focus, scroll and open details stay.
import { freshen } from "./said.js";

const main = document.getElementById("main");
const ours = new Set(["hidden", "open"]); // what changes in the browser alone
const PAUSE_MS = 400; // many changes at once are one

function same(a, b) {
  return a.nodeName === b.nodeName && (a.id || "") === (b.id || "");
}

function morph(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  if (old.isEqualNode(fresh) || "keep" in old.dataset || "grown" in old.dataset) return;
  if (old === document.activeElement && "value" in old) return;
  for (const { name, value } of [...fresh.attributes]) {
    if (!ours.has(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!ours.has(name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  const coming = [...fresh.childNodes];
  coming.forEach((child, place) => {
    const now = old.childNodes[place];
    if (!now) old.append(child);
    else if (same(now, child)) morph(now, child);
    else old.replaceChild(child, now);
  });
  while (old.childNodes.length > coming.length) old.lastChild.remove();
}

async function refresh() {
  const answer = await fetch(location.href, { headers: { "X-Fragment": "1" } });
  if (answer.status === 401) {
    location.reload();
    return;
  }
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("main");
  for (const { name, value } of [...main.attributes]) fresh.setAttribute(name, value);
  fresh.removeAttribute("data-title");
  morph(main, fresh);
  freshen();
}

if (main?.dataset.live) {
  let stream = null;
  let waiting = null;
  const soon = () => {
    waiting ??= setTimeout(() => {
      waiting = null;
      refresh();
    }, PAUSE_MS);
  };
  const listen = () => {
    stream = new EventSource(`/ui/live?topics=${encodeURIComponent(main.dataset.live)}`);
    stream.addEventListener("change", soon);
    stream.addEventListener("open", soon); // something may have changed before, or meanwhile
  };
  // Browsers have few connections to one host: a page that nobody sees keeps none.
  document.addEventListener("visibilitychange", () => {
    stream?.close();
    stream = null;
    if (!document.hidden) listen();
  });
  addEventListener("pagehide", () => stream?.close());
  if (!document.hidden) listen();
}
