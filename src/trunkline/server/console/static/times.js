// Times that say how long ago they were go on saying so; `words.age` has the same words.
const steps = [[60, "second"], [60, "minute"], [24, "hour"], [7, "day"], [52, "week"]];

export function age(seconds) {
  if (seconds < 10) return "just now";
  let left = seconds;
  let unit = "year";
  for (const [step, name] of steps) {
    if (left < step) {
      unit = name;
      break;
    }
    left /= step;
  }
  const number = Math.floor(left);
  return `${number} ${unit}${number === 1 ? "" : "s"} ago`;
}

setInterval(() => {
  if (document.hidden) return;
  for (const time of document.querySelectorAll("main time[datetime]")) {
    const text = age((Date.now() - Date.parse(time.dateTime)) / 1000);
    if (time.textContent !== text) time.textContent = text;
  }
}, 15000);
