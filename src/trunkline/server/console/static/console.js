// What every page has. Each module looks after its own elements, also in what comes later.
import "./switch.js";
import "./copy.js";
import "./times.js";
import "./more.js";
import "./log.js";
import "./live.js";
import "./keys.js";
import "./find.js";
import "./upload.js";
import "./graph.js";
import "./swipe.js";

// On a phone the pages are a line to be scrolled: the one that is shown is in sight.
document.querySelector(".side nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
