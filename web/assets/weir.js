// Live parts of pages, times in the reader's zone, moving graphs about. Pages work without it.
"use strict";
(() => {
  const zone = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (time.dataset.shown || Number.isNaN(at.getTime())) continue;
      time.dataset.shown = "1";
      time.title = time.textContent;
      time.textContent = new Intl.DateTimeFormat(document.documentElement.lang, {
        dateStyle: "medium", timeStyle: "medium",
      }).format(at);
    }
  };

  // Times of a log's lines stand beside them as a mere look: who copies lines copies no times.
  const clocks = (root) => {
    const form = new Intl.DateTimeFormat(document.documentElement.lang, { timeStyle: "medium", hour12: false });
    for (const line of root.querySelectorAll("[data-clock]")) {
      const at = new Date(line.dataset.at);
      if (Number.isNaN(at.getTime())) continue;
      line.title = line.dataset.at;
      line.dataset.clock = form.format(at);
    }
  };

  // A graph is moved with the mouse and made larger or smaller with Ctrl and the wheel, or + and -.
  const movable = (root) => {
    for (const box of root.querySelectorAll("[data-pan]")) {
      const svg = box.querySelector("svg");
      if (!svg || box.dataset.ready) continue;
      box.dataset.ready = "1";
      const wide = svg.viewBox.baseVal.width, high = svg.viewBox.baseVal.height;
      let scale = Number(sessionStorage.getItem("weir-zoom")) || 1;
      const zoom = (to) => {
        scale = Math.min(3, Math.max(0.2, to));
        sessionStorage.setItem("weir-zoom", String(scale));
        svg.setAttribute("width", String(wide * scale));
        svg.setAttribute("height", String(high * scale));
      };
      if (scale !== 1) zoom(scale);
      box.addEventListener("wheel", (event) => {
        if (!event.ctrlKey) return;
        event.preventDefault();
        zoom(scale * (event.deltaY < 0 ? 1.1 : 1 / 1.1));
      }, { passive: false });
      box.addEventListener("keydown", (event) => {
        if (event.key === "+" || event.key === "=") zoom(scale * 1.2);
        if (event.key === "-") zoom(scale / 1.2);
        if (event.key === "0") zoom(1);
      });
      let from = null;
      box.addEventListener("pointerdown", (event) => {
        if (event.button === 0 && !event.target.closest("a")) {
          from = [event.clientX + box.scrollLeft, event.clientY + box.scrollTop];
        }
      });
      addEventListener("pointermove", (event) => {
        if (!from) return;
        box.scrollLeft = from[0] - event.clientX;
        box.scrollTop = from[1] - event.clientY;
      });
      addEventListener("pointerup", () => { from = null; });
    }
  };

  // Says that the connection is gone, and that it is back.
  const lost = (where, text) => {
    let note = document.getElementById("lost");
    if (!text) { note?.remove(); return; }
    if (note) return;
    note = document.createElement("p");
    note.id = "lost";
    note.className = "note bad";
    note.setAttribute("role", "alert");
    note.textContent = text;
    where.before(note);
  };

  const run = document.querySelector("[data-stream]");
  if (run) {
    let busy = false, again = false, over = false, timer = 0;
    const refresh = async () => {
      if (busy) { again = true; return; }
      busy = true;
      try {
        const answer = await fetch(run.dataset.live, { credentials: "same-origin", redirect: "error" });
        if (answer.ok) {
          const scrolled = [...run.querySelectorAll(".canvas")].map((box) => [box.scrollLeft, box.scrollTop]);
          const held = document.activeElement?.getAttribute?.("href");
          run.innerHTML = await answer.text();
          zone(run);
          movable(run);
          run.querySelectorAll(".canvas").forEach((box, at) => {
            [box.scrollLeft, box.scrollTop] = scrolled[at] ?? [0, 0];
          });
          if (held) run.querySelector(`a[href="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
          lost(run, "");
        }
      } catch { lost(run, run.dataset.lost); }
      busy = false;
      if (again) { again = false; later(); }
    };
    const later = () => {
      if (timer) return;
      timer = setTimeout(() => { timer = 0; refresh(); }, 250);
    };
    const source = new EventSource(run.dataset.stream);
    source.addEventListener("change", () => { lost(run, ""); later(); });
    source.addEventListener("end", () => { over = true; source.close(); refresh(); });
    source.onerror = () => { if (!over) lost(run, run.dataset.lost); };
  }

  const log = document.querySelector("[data-tail]");
  if (log) {
    const box = log.closest(".logbox");
    box.scrollTop = box.scrollHeight;
    const source = new EventSource(log.dataset.tail);
    source.addEventListener("lines", (event) => {
      lost(box, "");
      const atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 40;
      const part = document.createElement("template");
      for (const line of JSON.parse(event.data)) {
        const row = document.createElement("span");
        row.className = "l";
        row.id = `o${line.at}`;
        const link = document.createElement("a");
        link.className = "n";
        link.href = `#o${line.at}`;
        link.textContent = "#";
        row.append(link);
        // Escaped by the server, letter by letter.
        row.insertAdjacentHTML("beforeend", line.html);
        part.content.append(row, "\n");
      }
      log.append(part.content);
      while (log.childElementCount > 5000) { log.firstChild.remove(); }
      if (atEnd) box.scrollTop = box.scrollHeight;
    });
    source.addEventListener("end", () => { source.close(); location.reload(); });
    source.onerror = () => { lost(box, log.dataset.lost); };
  }

  // "/" goes to the search of a page.
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select")) return;
    const field = document.querySelector("input[type=search]");
    if (field) { event.preventDefault(); field.focus(); }
  });

  zone(document);
  clocks(document);
  movable(document);
})();
