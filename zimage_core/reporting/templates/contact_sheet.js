(() => {
  "use strict";
  const root = document.documentElement;
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const cards = all(".card");
  const memory = {
    get(key, otherwise) {
      try { return JSON.parse(localStorage.getItem("zimage:" + key)) ?? otherwise; } catch { return otherwise; }
    },
    set(key, value) {
      try { localStorage.setItem("zimage:" + key, JSON.stringify(value)); } catch { /* a page without storage still works */ }
    },
  };
  const marksKey = "marks:" + root.dataset.run;
  let marks = memory.get(marksKey, {});
  let current = null;

  // ---- language and theme
  const speak = (language) => {
    root.dataset.language = language;
    root.lang = language === "zh" ? "zh-CN" : "en";
    all("option[data-zh]").forEach((option) => { option.textContent = option.dataset[language]; });
    for (const name of ["aria-label", "placeholder"]) {
      all(`[data-${name}-zh]`).forEach((el) => el.setAttribute(name, el.getAttribute(`data-${name}-${language}`)));
    }
  };
  one("#language").addEventListener("click", () => {
    const language = root.dataset.language === "zh" ? "en" : "zh";
    speak(language);
    memory.set("language", language);
  });
  speak(memory.get("language", root.dataset.language));
  const theme = memory.get("theme", "");
  if (theme) root.dataset.theme = theme;
  one("#theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    memory.set("theme", root.dataset.theme);
  });

  // ---- filters
  const filter = { state: "", letters: new Set(), words: "", scene: "", category: "" };
  const visible = () => cards.filter((card) => !card.hidden);
  const matches = (card, ignoreState = false) =>
    (ignoreState || !filter.state || card.dataset.state === filter.state) &&
    (!filter.letters.size || filter.letters.has(card.dataset.letter)) &&
    (!filter.scene || card.dataset.scene === filter.scene) &&
    (!filter.category || card.dataset.category === filter.category) &&
    filter.words.split(/\s+/).every((word) => card.dataset.words.includes(word));
  const refresh = () => {
    cards.forEach((card) => { card.hidden = !matches(card); });
    const shown = visible().length;
    one("#shown").textContent = shown;
    one("#nothing").hidden = shown > 0;
    one("#clear").hidden = !(filter.state || filter.letters.size || filter.words || filter.scene || filter.category);
    all("button[data-state]").forEach((button) => {
      const state = button.dataset.state;
      button.setAttribute("aria-pressed", String(state === filter.state));
      one("b", button).textContent = cards.filter((c) => matches(c, true) && (!state || c.dataset.state === state)).length;
    });
    all("button[data-letter]").forEach((button) => {
      button.setAttribute("aria-pressed", String(filter.letters.has(button.dataset.letter)));
    });
    if (current && current.hidden) choose(null);
  };
  all("button[data-state]").forEach((button) => button.addEventListener("click", () => {
    filter.state = filter.state === button.dataset.state ? "" : button.dataset.state;
    refresh();
  }));
  all("button[data-letter]").forEach((button) => button.addEventListener("click", () => {
    const letter = button.dataset.letter;
    if (!filter.letters.delete(letter)) filter.letters.add(letter);
    refresh();
  }));
  one("#search").addEventListener("input", (event) => { filter.words = event.target.value.trim().toLowerCase(); refresh(); });
  for (const name of ["scene", "category"]) {
    one("#" + name).addEventListener("change", (event) => { filter[name] = event.target.value; refresh(); });
  }
  one("#clear").addEventListener("click", () => {
    Object.assign(filter, { state: "", words: "", scene: "", category: "" });
    filter.letters.clear();
    for (const id of ["search", "scene", "category"]) one("#" + id).value = "";
    refresh();
  });
  const orders = {
    catalogue: (a, b) => a.dataset.number - b.dataset.number,
    review: (a, b) => (b.dataset.state === "doubtful") - (a.dataset.state === "doubtful") || orders.catalogue(a, b),
    score: (a, b) => (a.dataset.score || 0) - (b.dataset.score || 0) || orders.catalogue(a, b),
  };
  one("#sort").addEventListener("change", (event) => {
    cards.sort(orders[event.target.value]);
    one("#grid").append(...cards);
  });

  // ---- marks
  const show = (card) => {
    const mark = marks[card.dataset.attempt];
    all("[data-mark]", card).forEach((b) => b.setAttribute("aria-pressed", String(mark?.decision === b.dataset.mark)));
    const why = one(".why", card);
    if (why) {
      why.hidden = !mark;
      why.value = mark?.why ?? "";
    }
  };
  const keep = () => {
    memory.set(marksKey, marks);
    one("#marks").textContent = Object.keys(marks).length;
  };
  const mark = (card, decision) => {
    const attempt = card?.dataset.attempt;
    if (!attempt || (decision && !one(`[data-mark="${decision}"]`, card))) return;
    if (!decision || marks[attempt]?.decision === decision) delete marks[attempt];
    else marks[attempt] = { decision, why: marks[attempt]?.why ?? "" };
    show(card);
    keep();
  };
  cards.forEach((card) => {
    all("[data-mark]", card).forEach((button) => button.addEventListener("click", () => {
      mark(card, button.dataset.mark);
      choose(card, false);
    }));
    one(".why", card)?.addEventListener("input", (event) => { marks[card.dataset.attempt].why = event.target.value; keep(); });
    show(card);
  });
  addEventListener("storage", (event) => {
    if (event.key !== "zimage:" + marksKey) return;
    marks = memory.get(marksKey, {});
    cards.forEach(show);
    one("#marks").textContent = Object.keys(marks).length;
  });
  keep();
  const who = one("#who");
  who.value = memory.get("who", "");
  who.addEventListener("input", () => memory.set("who", who.value));
  let fading = 0;
  const say = (key, more = "") => {
    const toast = one("#toast");
    toast.textContent = toast.getAttribute(`data-${key}-${root.dataset.language}`) + more;
    toast.hidden = false;
    clearTimeout(fading);
    fading = setTimeout(() => { toast.hidden = true; }, 3500);
  };
  // a cell that starts like a formula is written as text; every cell is quoted
  const cell = (text) => `"${(/^\s*[=+\-@]/.test(text) ? "'" + text : text).replaceAll('"', '""')}"`;
  one("#export").addEventListener("click", () => {
    const rows = Object.entries(marks).sort(([a], [b]) => (a < b ? -1 : 1));
    if (!rows.length) return say("need_marks");
    if (!who.value.trim()) { who.focus(); return say("need_name"); }
    const lines = rows.map(([attempt, m]) => [attempt, m.decision, who.value.trim(), m.why.trim()].map(cell).join(","));
    const text = "\ufeff" + ["attempt_id,decision,who,why", ...lines].join("\r\n") + "\r\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
    link.download = `decisions-${root.dataset.run || "run"}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    say("exported", ` · ${rows.length}`);
  });

  // ---- looking closely
  const lightbox = one("#lightbox");
  const enlarge = (image, card) => {
    const stage = one(".stage", lightbox);
    const pair = image.closest(".pictures") ? all(".pictures figure", card) : [image.parentElement];
    stage.replaceChildren(...pair.map((source) => {
      const figure = document.createElement("figure");
      const picture = one("img", source).cloneNode();
      picture.loading = "eager";
      figure.append(picture);
      const caption = one("figcaption", source);
      if (caption) figure.append(caption.cloneNode(true));
      return figure;
    }));
    one(".lightbar b", lightbox).textContent = one("h2", card).textContent;
    one(".lightbar span", lightbox).textContent = one(".facts-line code", card).textContent;
    if (!lightbox.open) lightbox.showModal();
  };
  cards.forEach((card) => all("[data-enlarge]", card).forEach((button) => button.addEventListener("click", () => {
    choose(card, false);
    enlarge(one("img", button), card);
  })));
  all("dialog").forEach((dialog) => {
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog || event.target.closest("[data-close], .stage")) dialog.close();
    });
  });
  one("#help").addEventListener("click", () => one("#keys").showModal());

  // ---- keyboard
  const choose = (card, scroll = true) => {
    current?.classList.remove("current");
    current = card;
    if (!card) return;
    card.classList.add("current");
    if (scroll) {
      card.focus({ preventScroll: true });
      card.scrollIntoView({ block: "nearest" });
      if (lightbox.open) {
        const image = one(".shot-result img, .shot img", card);
        if (image) enlarge(image, card);
      }
    }
  };
  const step = (by) => {
    const list = visible();
    const at = list.indexOf(current);
    choose(list[at < 0 ? (by > 0 ? 0 : list.length - 1) : Math.min(list.length - 1, Math.max(0, at + by))] ?? null);
  };
  const keys = {
    j: () => step(1),
    k: () => step(-1),
    ArrowRight: () => lightbox.open && step(1),
    ArrowLeft: () => lightbox.open && step(-1),
    a: () => mark(current, "approve"),
    r: () => mark(current, "reject"),
    g: () => mark(current, "regenerate"),
    u: () => mark(current, null),
    "/": () => one("#search").focus(),
    "?": () => one("#keys").showModal(),
    " ": () => {
      const image = current && one(".shot-result img, .shot img", current);
      if (lightbox.open) lightbox.close();
      else if (image) enlarge(image, current);
    },
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    if (target.closest("input, select, textarea")) {
      if (event.key === "Escape") target.blur();
      return;
    }
    if (event.key === " " && target.closest("button, summary, a")) return;
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    if (!event.key.startsWith("Arrow")) event.preventDefault();
    act();
  });
  const bench = one("#bench");
  new IntersectionObserver(([seen]) => bench.classList.toggle("stuck", seen.intersectionRatio < 1), { threshold: [1], rootMargin: "-1px 0px 0px 0px" }).observe(bench);
  refresh();
})();
