// Says something to who listens to the page instead of looking at it.
export function say(text) {
  const place = document.getElementById("said");
  if (place) place.textContent = text;
}

// Calls `prepare` once for each element that matches, now and whenever new ones may have come.
export function everywhere(selector, prepare) {
  const known = new WeakSet();
  const visit = () => {
    for (const element of document.querySelectorAll(selector)) {
      if (known.has(element)) continue;
      known.add(element);
      prepare(element);
    }
  };
  visit();
  document.addEventListener("fresh", visit);
}

// New elements may have come.
export function freshen() {
  document.dispatchEvent(new CustomEvent("fresh"));
}
