// Keys: `/` goes to the search field of the page, or else of all pages (as Ctrl+K always does), `j`
// and `k` through the rows of the first list, `g` and the first letter of an entry of the navigation
// to that page; of several, to the one behind the present one.
let went = 0;

const typing = (element) =>
  element.closest?.("input, textarea, select, [contenteditable]") !== null;

function step(by) {
  const links = [...document.querySelectorAll("main tbody tr a:first-of-type")].filter(
    (link, place, all) => all.findIndex((one) => one.closest("tr") === link.closest("tr")) === place,
  );
  if (!links.length) return;
  const row = document.activeElement?.closest("tr");
  const at = links.findIndex((link) => link.closest("tr") === row);
  const next = at < 0 ? (by > 0 ? 0 : links.length - 1) : at + by;
  links[Math.max(0, Math.min(links.length - 1, next))].focus();
}

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    document.querySelector("[data-find] input[type=search]")?.focus();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  if (went && Date.now() - went < 1500) {
    went = 0;
    const letter = event.key.toLowerCase();
    const entries = [...document.querySelectorAll(".side nav a")].filter((link) =>
      link.textContent.trim().toLowerCase().startsWith(letter),
    );
    const here = entries.findIndex((link) => link.hasAttribute("aria-current"));
    entries[(here + 1) % entries.length]?.click();
    return;
  }
  if (event.key === "/") {
    const field =
      document.querySelector("main input[type=search]") ??
      document.querySelector("[data-find] input[type=search]");
    if (field) {
      event.preventDefault();
      field.focus();
    }
  } else if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
  else if (event.key === "g") went = Date.now();
});
