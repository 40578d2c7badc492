(() => {
  "use strict";
  const root = document.documentElement;
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const cards = all(".card");
  const PREFIX = "zimage:";
  const memory = {
    works: true,
    get(key, otherwise) {
      try { return JSON.parse(localStorage.getItem(PREFIX + key)) ?? otherwise; } catch { return otherwise; }
    },
    set(key, value) {
      try {
        if (value === null) localStorage.removeItem(PREFIX + key);
        else localStorage.setItem(PREFIX + key, JSON.stringify(value));
      } catch { this.works = false; /* a page without storage still works, and says that it keeps nothing */ }
    },
    keys(start) {
      try { return Object.keys(localStorage).filter((key) => key.startsWith(PREFIX + start)).map((key) => key.slice(PREFIX.length)); }
      catch { this.works = false; return []; }
    },
  };
  const run = root.dataset.run;
  const page = Number(root.dataset.page);
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
  const filter = { todo: false, state: "", letters: new Set(), words: "", scene: "", category: "" };
  const visible = () => cards.filter((card) => !card.hidden);
  const matches = (card, ignoreState = false) =>
    (ignoreState || !filter.state || card.dataset.state === filter.state) &&
    (!filter.todo || waits(card)) &&
    (!filter.letters.size || filter.letters.has(card.dataset.letter)) &&
    (!filter.scene || card.dataset.scene === filter.scene) &&
    (!filter.category || card.dataset.category === filter.category) &&
    filter.words.split(/\s+/).every((word) => card.dataset.words.includes(word));
  const refresh = () => {
    cards.forEach((card) => { card.hidden = !matches(card); });
    const shown = visible().length;
    one("#shown").textContent = shown;
    one("#nothing").hidden = shown > 0;
    one("#clear").hidden = !(filter.todo || filter.state || filter.letters.size || filter.words || filter.scene || filter.category);
    all("button[data-state]").forEach((button) => {
      const state = button.dataset.state;
      button.setAttribute("aria-pressed", String(state === filter.state));
      one("b", button).textContent = cards.filter((c) => matches(c, true) && (!state || c.dataset.state === state)).length;
    });
    all("button[data-letter]").forEach((button) => {
      button.setAttribute("aria-pressed", String(filter.letters.has(button.dataset.letter)));
    });
    one("#todo").setAttribute("aria-pressed", String(filter.todo));
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
  const only = (todo) => {
    filter.todo = todo;
    memory.set("todo:" + run, todo || null);
    refresh();
  };
  const clear = () => {
    Object.assign(filter, { state: "", words: "", scene: "", category: "" });
    filter.letters.clear();
    for (const id of ["search", "scene", "category"]) one("#" + id).value = "";
    only(false);
  };
  one("#clear").addEventListener("click", clear);
  one("#todo").addEventListener("click", () => only(!filter.todo));
  const orders = {
    catalogue: (a, b) => a.dataset.number - b.dataset.number,
    review: (a, b) => (b.dataset.state === "doubtful") - (a.dataset.state === "doubtful") || orders.catalogue(a, b),
    score: (a, b) => (a.dataset.score || 0) - (b.dataset.score || 0) || orders.catalogue(a, b),
  };
  one("#sort").addEventListener("change", (event) => {
    cards.sort(orders[event.target.value]);
    one("#grid").append(...cards);
  });

  // ---- marks: one per shot, kept by this browser for all pages of the sheet
  const COLUMNS = ["attempt_id", "decision", "who", "why", "run_id", "shot_id", "sku", "scene", "attempt", "grade", "state",
    "seen", "marked_at"];
  const markKey = (shot) => `mark:${run}:${shot}`;
  const historyKey = "history:" + run;
  const MOST_UNDONE = 200;
  const marks = new Map(memory.keys(`mark:${run}:`).map((key) => [key.slice(markKey("").length), memory.get(key, null)]).filter(([, m]) => m));
  const byShot = new Map(cards.filter((card) => card.dataset.attempt).map((card) => [card.dataset.shot, card]));
  const waiting = (one("#waiting").dataset.waiting || "").split(",").filter(Boolean).map((pair) => {
    const [number, seen] = pair.split(":");
    return { number: Number(number), seen };
  });
  const waitingSeen = new Set(waiting.map(({ seen }) => seen));
  // whether a mark is about what the sheet shows; of other pages only those that wait for a person are known
  const counts = (shot, mark) => {
    const card = byShot.get(shot);
    if (card) return mark.seen === card.dataset.seen;
    return mark.page !== page && (mark.state !== "doubtful" || waitingSeen.has(mark.seen));
  };
  const valid = () => [...marks].filter(([shot, mark]) => counts(shot, mark));
  const waits = (card) => card.dataset.state === "doubtful" && card.dataset.attempt && marks.get(card.dataset.shot)?.seen !== card.dataset.seen;
  const took_effect = (card, mark) =>
    card.dataset.decided === mark.decision || (mark.decision === "regenerate" && mark.attempt_id !== card.dataset.attempt);
  for (const [shot, mark] of [...marks]) {
    const card = byShot.get(shot);
    if (card && !counts(shot, mark) && took_effect(card, mark)) {
      marks.delete(shot);
      memory.set(markKey(shot), null);
    }
  }
  let fading = 0;
  const word = (key) => one("#toast").getAttribute(`data-${key}-${root.dataset.language}`);
  const say = (key, more = "") => {
    const toast = one("#toast");
    toast.textContent = word(key) + more;
    toast.hidden = false;
    clearTimeout(fading);
    fading = setTimeout(() => { toast.hidden = true; }, 3500);
  };
  const show = (card) => {
    const mark = marks.get(card.dataset.shot);
    const good = mark && counts(card.dataset.shot, mark) ? mark : null;
    all("[data-mark]", card).forEach((b) => b.setAttribute("aria-pressed", String(good?.decision === b.dataset.mark)));
    const why = one(".why", card);
    if (!why) return;
    why.hidden = !good;
    if (document.activeElement !== why) why.value = good?.why ?? "";
    if (good) why.placeholder = word("why_" + good.decision);
    why.required = good?.decision === "reject";
    one(".old", card).hidden = !mark || Boolean(good);
  };
  const count = () => {
    const good = valid();
    const done = new Set(good.map(([, mark]) => mark.seen));
    one("#marks").textContent = good.length;
    one("#left").textContent = waiting.filter(({ seen }) => !done.has(seen)).length;
    one("#undo").disabled = !memory.get(historyKey, { done: [] }).done.length && !history.done.length;
  };
  const keep = (shot, mark) => {
    if (mark) marks.set(shot, mark);
    else marks.delete(shot);
    memory.set(markKey(shot), mark ?? null);
    const card = byShot.get(shot);
    if (card) show(card);
    count();
    if (!memory.works) say("not_kept");
  };
  const history = { done: [], undone: [] };
  const recall = () => { if (memory.works) Object.assign(history, memory.get(historyKey, { done: [], undone: [] })); };
  const remember = () => {
    history.done.splice(0, history.done.length - MOST_UNDONE);
    memory.set(historyKey, history);
    one("#undo").disabled = !history.done.length;
  };
  const act = (card, after) => {
    const shot = card.dataset.shot;
    recall();
    history.done.push({ shot, before: marks.get(shot) ?? null, after, about: `${card.dataset.sku} · ${card.dataset.scene}` });
    history.undone = [];
    remember();
    keep(shot, after);
  };
  const again = (from, to, side, said, nothing) => {
    recall();
    const step = history[from].pop();
    if (!step) return say(nothing);
    history[to].push(step);
    remember();
    keep(step.shot, step[side]);
    const card = byShot.get(step.shot);
    if (card) {
      if (card.hidden) clear();
      choose(card);
    }
    const other = (step.after ?? step.before).page;
    say(said, step.about + (card ? "" : ` (${other})`));
  };
  const undo = () => again("done", "undone", "before", "undone", "nothing_undone");
  const redo = () => again("undone", "done", "after", "redone", "nothing_redone");
  const made = (card, decision) => {
    const { attempt, shot, sku, scene, letter, state, seen, number } = card.dataset;
    const before = marks.get(shot);
    const why = before && before.decision === decision && counts(shot, before) ? before.why : "";
    return { decision, why, marked_at: new Date().toISOString(), page, number, attempt_id: attempt, shot_id: shot, sku, scene,
      attempt: card.dataset.try, grade: letter, state, seen };
  };
  const mark = (card, decision, toggle = false) => {
    if (!card?.dataset.attempt || (decision && !one(`[data-mark="${decision}"]`, card))) return;
    const shot = card.dataset.shot;
    const before = marks.get(shot);
    const same = before && before.decision === decision && counts(shot, before);
    if (!decision || (same && toggle)) {
      if (before) act(card, null);
      return;
    }
    const waited = waits(card);
    if (!same) act(card, made(card, decision));
    if (decision !== "approve") return one(".why", card).focus();
    if (!toggle && waited && one("#onward").checked) next(false);
  };
  cards.forEach((card) => {
    all("[data-mark]", card).forEach((button) => button.addEventListener("click", () => {
      choose(card, false);
      mark(card, button.dataset.mark, true);
    }));
    show(card);
    const why = one(".why", card);
    if (!why) return;
    let before = null;
    const shot = card.dataset.shot;
    why.addEventListener("focus", () => { before = marks.get(shot) ?? null; });
    why.addEventListener("input", () => {
      const now = marks.get(shot);
      if (now) keep(shot, { ...now, why: why.value, marked_at: new Date().toISOString() });
    });
    why.addEventListener("change", () => {
      const now = marks.get(shot) ?? null;
      if (!before || !now || now.why === before.why) return;
      recall();
      const last = history.done.at(-1);
      if (last?.shot === shot && last.after && last.after.decision === now.decision) last.after = now;
      else history.done.push({ shot, before, after: now, about: `${card.dataset.sku} · ${card.dataset.scene}` });
      history.undone = [];
      remember();
      before = now;
    });
    why.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      event.stopPropagation();
      if (why.required && !why.value.trim()) return say("why_reject");
      why.blur();
      if (card.dataset.state !== "doubtful" || !one("#onward").checked || !next(false)) choose(card);
    });
  });
  addEventListener("storage", (event) => {
    const start = PREFIX + markKey("");
    if (!event.key?.startsWith(start)) return;
    const shot = event.key.slice(start.length);
    if (event.newValue) marks.set(shot, JSON.parse(event.newValue));
    else marks.delete(shot);
    const card = byShot.get(shot);
    if (card) show(card);
    count();
  });
  one("#undo").addEventListener("click", undo);
  recall();
  count();
  const onward = one("#onward");
  onward.checked = memory.get("onward", true);
  onward.addEventListener("change", () => memory.set("onward", onward.checked));
  const who = one("#who");
  who.value = memory.get("who", "");
  who.addEventListener("input", () => memory.set("who", who.value));
  // a cell that starts like a formula is written as text; every cell is quoted
  const cell = (text) => `"${(/^\s*[=+\-@]/.test(text) ? "'" + text : text).replaceAll('"', '""')}"`;
  const save = () => {
    const rows = valid().map(([, m]) => m).sort((a, b) => a.number - b.number);
    if (!rows.length) return say("need_marks");
    const bare = rows.find((m) => m.decision === "reject" && !m.why.trim());
    if (bare) {
      const card = byShot.get(bare.shot_id);
      if (card) {
        if (card.hidden) clear();
        choose(card);
        one(".why", card).focus();
      }
      return say("need_why", `${bare.sku} · ${bare.scene} (${bare.page})`);
    }
    if (!who.value.trim()) { who.focus(); return say("need_name"); }
    const lines = rows.map((m) => {
      const given = { ...m, who: who.value.trim(), why: m.why.trim(), run_id: run };
      return COLUMNS.map((name) => cell(String(given[name] ?? ""))).join(",");
    });
    const text = "\ufeff" + [COLUMNS.join(","), ...lines].join("\r\n") + "\r\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
    link.download = "decisions.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    say("exported", String(rows.length));
  };
  one("#export").addEventListener("click", save);

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
  const pages = all(".pager ol")[0] ? all("a", one(".pager ol")).map((link) => link.href) : [];
  const turn = (by, number = 0) => {
    const href = pages[page - 1 + by];
    if (href) location.href = href + (number ? "#n" + number : "");
  };
  // the next one that waits for a decision: on this page, then (if `far`) on another
  const next = (far) => {
    const at = cards.indexOf(current);
    const order = [...cards.slice(at + 1), ...cards.slice(0, at + 1)];
    const card = order.find((one) => waits(one));
    if (card) {
      if (card.hidden) clear();
      choose(card);
      return true;
    }
    const done = new Set(valid().map(([, m]) => m.seen));
    const size = Number(root.dataset.size);
    const left = waiting.filter(({ number, seen }) => !done.has(seen) && Math.ceil(number / size) !== page);
    const found = left.find(({ number }) => number > page * size) ?? left[0];
    if (far && found) turn(Math.ceil(found.number / size) - page, found.number);
    else say("all_decided");
    return false;
  };
  const keys = {
    j: () => step(1),
    k: () => step(-1),
    n: () => next(true),
    ArrowRight: () => lightbox.open && step(1),
    ArrowLeft: () => lightbox.open && step(-1),
    a: () => mark(current, "approve"),
    r: () => decideWithWords("reject"),
    g: () => decideWithWords("regenerate"),
    u: undo,
    U: redo,
    x: () => mark(current, null),
    d: () => only(!filter.todo),
    e: save,
    "[": () => turn(-1),
    "]": () => turn(1),
    "/": () => one("#search").focus(),
    "?": () => one("#keys").showModal(),
    " ": () => {
      const image = current && one(".shot-result img, .shot img", current);
      if (lightbox.open) lightbox.close();
      else if (image) enlarge(image, current);
    },
  };
  const decideWithWords = (decision) => {
    if (lightbox.open) lightbox.close();
    mark(current, decision);
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    if (target.closest("input:not([type=checkbox]), select, textarea")) {
      if (event.key === "Escape") {
        target.blur();
        if (target.matches(".why") && current) choose(current);
      }
      return;
    }
    if (event.repeat && !["j", "k", "ArrowRight", "ArrowLeft"].includes(event.key)) return;
    if (event.key === " " && target.closest("button, summary, a, input")) return;
    const name = event.key.length > 1 ? event.key : event.shiftKey && event.key.toLowerCase() === "u" ? "U" : event.key.toLowerCase();
    const doIt = keys[name];
    if (!doIt) return;
    if (!event.key.startsWith("Arrow")) event.preventDefault();
    doIt();
  });
  const bench = one("#bench");
  new IntersectionObserver(([seen]) => bench.classList.toggle("stuck", seen.intersectionRatio < 1), { threshold: [1], rootMargin: "-1px 0px 0px 0px" }).observe(bench);
  filter.todo = memory.get("todo:" + run, false);
  refresh();
  const asked = /^#n(\d+)$/.exec(location.hash);
  if (asked) choose(cards.find((card) => card.dataset.number === asked[1]) ?? null);
})();
