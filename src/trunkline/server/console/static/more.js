// The next page of a list is appended as one scrolls to its link. The link has the id of the list's
// body in `data-more`; the page it leads to has a body of the same id, and may have a link itself.
// With `data-by-hand` that is only done when somebody asks for it: there is more below the list.
import { everywhere, freshen } from "./said.js";

async function follow(link) {
  if (link.dataset.busy) return;
  link.dataset.busy = "yes";
  const answer = await fetch(link.href, { headers: { "X-Fragment": "1" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const list = document.getElementById(link.dataset.more);
  const rows = page.getElementById(link.dataset.more);
  const next = page.querySelector("[data-more]");
  list.append(...rows.children);
  if (next) link.closest(".more").replaceWith(next.closest(".more"));
  else link.closest(".more").remove();
  list.dataset.grown = "yes"; // what was appended is not to be replaced by the first page
  freshen();
}

const ROWS_BY_THEMSELVES = 2000; // a page that holds more goes on when it is asked to

const watcher = new IntersectionObserver(
  (seen) => {
    for (const { isIntersecting, target } of seen) {
      const list = document.getElementById(target.dataset.more);
      if (isIntersecting && list.children.length < ROWS_BY_THEMSELVES) follow(target);
    }
  },
  { rootMargin: "400px" },
);

everywhere("[data-more]", (link) => {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    follow(link);
  });
  if (!("byHand" in link.dataset)) watcher.observe(link);
});
