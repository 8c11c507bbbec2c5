// The field that goes to something by its name: while one types, the list of the search page is
// shown below it. Arrows go through the list, Escape closes it.
import { say } from "./said.js";

const PAUSE_MS = 120; // letters that follow each other are one question
const form = document.querySelector("[data-find]");
const field = form?.querySelector("input[type=search]");
const box = form?.querySelector(".found");
let waiting = null;
let asked = 0;

function show(list) {
  box.replaceChildren(...(list ? [list] : []));
  box.hidden = !list;
}

async function ask() {
  const words = field.value.trim();
  const turn = ++asked;
  if (!words) {
    show(null);
    return;
  }
  const answer = await fetch(`${form.action}?${new URLSearchParams({ q: words })}`, {
    headers: { "X-Fragment": "1" },
  });
  if (!answer.ok || turn !== asked) return; // another one was asked meanwhile
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const list = page.getElementById("hits");
  show(list);
  say(list ? `${list.children.length} found` : "Nothing found");
}

if (form) {
  field.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(ask, PAUSE_MS);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      asked += 1;
      show(null);
      field.value = "";
      field.focus();
    }
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const places = [field, ...box.querySelectorAll("a")];
    const at = places.indexOf(document.activeElement);
    const next = at + (event.key === "ArrowDown" ? 1 : -1);
    event.preventDefault();
    places[Math.max(0, Math.min(places.length - 1, next))].focus();
  });
  document.addEventListener("click", (event) => {
    if (!form.contains(event.target)) show(null);
  });
}
