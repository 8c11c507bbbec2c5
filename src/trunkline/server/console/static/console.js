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
