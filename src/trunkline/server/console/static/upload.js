// Files are sent by a form in any case. Here they can be dropped onto it too, whole directories as
// well, and one sees how far they are. The browser reads them from the disk as it sends them.
import { everywhere, say } from "./said.js";

const units = ["B", "KB", "MB", "GB", "TB"];

function size(bytes) {
  let step = 0;
  while (bytes >= 999.5 && step < units.length - 1) {
    bytes /= 1024;
    step += 1;
  }
  return `${bytes.toFixed(step && bytes < 9.95 ? 1 : 0)} ${units[step]}`;
}

// All files below what was dropped, each with its path.
async function below(entry, path, found) {
  if (entry.isFile) {
    const file = await new Promise((done, failed) => entry.file(done, failed));
    found.push([path + entry.name, file]);
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return;
    for (const one of some) await below(one, `${path}${entry.name}/`, found);
  }
}

async function dropped(transfer) {
  // All of it is asked for at once: nothing of it is there any more later.
  const given = [...transfer.items].map((item) => [item.webkitGetAsEntry?.(), item.getAsFile()]);
  const found = [];
  for (const [entry, file] of given) {
    if (entry) await below(entry, "", found);
    else if (file) found.push([file.name, file]);
  }
  return found;
}

everywhere("form[data-upload]", (form) => {
  const input = form.querySelector("input[type=file]");
  const list = form.querySelector("[data-chosen]");
  const state = form.querySelector("[data-state]");
  const bar = form.querySelector("progress");
  const cancel = form.querySelector("[data-cancel]");
  const send = form.querySelector("button[type=submit]");
  let files = []; // of what was dropped; what was chosen is in the input
  let request = null;

  const tell = (text, bad = false) => {
    state.textContent = text;
    state.classList.toggle("problem", bad);
    state.hidden = !text;
  };
  const chosen = () => (files.length ? files : [...input.files].map((file) => [file.name, file]));
  const show = () => {
    const all = chosen();
    const bytes = all.reduce((sum, [, file]) => sum + file.size, 0);
    const names = all.slice(0, 3).map(([path]) => path);
    const more = all.length > 3 ? ` and ${all.length - 3} more` : "";
    list.textContent = all.length ? `${names.join(", ")}${more} · ${size(bytes)}` : "";
  };
  const rest = () => {
    request = null;
    bar.hidden = cancel.hidden = true;
    send.disabled = false;
  };

  input.addEventListener("change", () => {
    files = [];
    show();
  });
  form.addEventListener("dragover", (event) => {
    event.preventDefault();
    form.classList.add("over");
  });
  form.addEventListener("dragleave", () => form.classList.remove("over"));
  form.addEventListener("drop", async (event) => {
    event.preventDefault();
    form.classList.remove("over");
    try {
      files = await dropped(event.dataTransfer);
      show();
    } catch (error) {
      tell(`What was dropped can't be read: ${error.message}`, true);
    }
  });
  cancel.addEventListener("click", () => request?.abort());

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (request || !chosen().length) {
      if (!request) tell("Choose or drop a file first.", true);
      return;
    }
    const body = new FormData(form);
    body.delete(input.name);
    for (const [path, file] of chosen()) body.append(input.name, file, path);
    const began = performance.now();
    request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      bar.max = total;
      bar.value = loaded;
      const rate = (loaded / (performance.now() - began)) * 1000;
      tell(
        loaded < total
          ? `${size(loaded)} of ${size(total)} · ${size(rate)} a second`
          : "All is sent; the commit is being made…",
      );
    });
    request.addEventListener("load", () => {
      if (request.status === 200) {
        say("Uploaded");
        location.assign(request.responseURL);
        return;
      }
      const page = new DOMParser().parseFromString(request.responseText, "text/html");
      const said = page.querySelector(".problem-page h1 + p")?.textContent;
      rest();
      tell(said || "The server refused the files.", true);
    });
    request.addEventListener("error", () => {
      rest();
      tell("The connection broke off. Nothing was changed.", true);
    });
    request.addEventListener("abort", () => {
      rest();
      tell("Cancelled. Nothing was changed.");
    });
    bar.hidden = cancel.hidden = false;
    bar.value = 0;
    send.disabled = true;
    tell("Sending…");
    request.send(body);
  });
});
