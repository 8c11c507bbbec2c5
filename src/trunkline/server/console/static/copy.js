// Buttons with `data-copy` put its text on the clipboard.
import { everywhere, say } from "./said.js";

everywhere("[data-copy]", (button) => {
  if (navigator.clipboard) button.hidden = false;
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.classList.add("done");
  say("Copied");
  setTimeout(() => button.classList.remove("done"), 1200);
});
