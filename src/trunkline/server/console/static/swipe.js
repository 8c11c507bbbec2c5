// Two pictures that are beside each other can be laid over each other: a slider tells how much of
// either is seen.
import { everywhere } from "./said.js";

everywhere("[data-swipe]", (frame) => {
  const pictures = frame.querySelector(".pictures");
  const [, after] = pictures.querySelectorAll("img");
  const slider = frame.querySelector("input[type=range]");
  const button = frame.querySelector("button");
  const cut = () => {
    const over = pictures.classList.contains("over");
    after.style.clipPath = over ? `inset(0 0 0 ${slider.value}%)` : "";
    slider.style.width = `${after.clientWidth}px`;
  };
  button.addEventListener("click", () => {
    const over = pictures.classList.toggle("over");
    button.textContent = over ? "Beside each other" : "Over each other";
    slider.hidden = !over;
    cut();
  });
  slider.addEventListener("input", cut);
  button.hidden = false;
});
