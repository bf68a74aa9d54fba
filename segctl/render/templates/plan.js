"use strict";
(() => {
  const PAGE = 100;
  const byId = (id) => document.getElementById(id);
  document.documentElement.classList.add("js");

  const open = (hash) => {
    const target = hash.length > 1 && byId(hash.slice(1));
    const details = target && target.closest("details");
    if (details && !details.open) {
      details.open = true;
      target.scrollIntoView();
    }
    return target;
  };

  const unfold = byId("unfold");
  if (unfold) {
    const all = [...document.querySelectorAll("details.segment")];
    unfold.hidden = all.length < 2;
    unfold.addEventListener("click", () => {
      const opens = all.some((details) => !details.open);
      for (const details of all) details.open = opens;
      unfold.textContent = opens ? "Close all" : "Open all";
    });
  }

  const table = byId("table");
  if (!table) {
    open(location.hash);
    addEventListener("hashchange", () => open(location.hash));
    return;
  }
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const entries = [...body.rows].map((row, position) => ({
    row,
    position,
    text: row.textContent.toLowerCase(),
    isMarked: row.className !== "",
    action: row.querySelector(".badge").lastChild.textContent.trim(),
    values: null,
  }));
  const search = byId("search"), action = byId("action");
  const unchanged = [...document.querySelectorAll(".unchanged li")];
  const collator = new Intl.Collator("en", { numeric: true });
  let sorted = entries, most = PAGE, revealed = null;

  const number = (cell) => {
    if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
    const text = cell.firstChild ? cell.firstChild.textContent : "";
    return Number(text.replace(/[,+]/g, "").replace("\u2212", "")) || 0;
  };
  const valuesOf = (entry) =>
    (entry.values ??= heads.map((head, column) => {
      const cell = entry.row.cells[column];
      return head.dataset.sort === "number" ? number(cell) : cell.textContent.trim();
    }));

  const show = (said) => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (text) => words.every((word) => text.includes(word));
    const chosen = sorted.filter(
      (entry) =>
        (!action.value ||
          (action.value === "!" ? entry.isMarked : entry.action === action.value)) &&
        matches(entry.text),
    );
    const visible = new Set(chosen.slice(0, most));
    if (revealed) visible.add(revealed);
    for (const entry of entries) entry.row.classList.toggle("beyond", !visible.has(entry));
    for (const item of unchanged) item.hidden = !matches(item.textContent.toLowerCase());
    const also = words.length
      ? unchanged.filter((item) => !item.hidden).length : 0;
    byId("nothing").hidden = chosen.length > 0;
    byId("nothing").textContent = `No changed segment matches${also ? `, but ${also} unchanged` : ""}.`;
    byId("pager").hidden = chosen.length <= most;
    byId("shown").textContent =
      `${Math.min(most, chosen.length).toLocaleString("en")} of ${chosen.length.toLocaleString("en")} segments`;
    byId("all").textContent = `Show all ${chosen.length.toLocaleString("en")}`;
    byId("status").textContent =
      `${said || ""} ${chosen.length.toLocaleString("en")} segments${also ? `, ${also} unchanged` : ""}.`;
  };

  const sort = (column, descends) => {
    const sign = descends ? -1 : 1;
    const compare = heads[column].dataset.sort === "number" ? (a, b) => a - b : collator.compare;
    sorted = [...entries].sort(
      (a, b) => sign * compare(valuesOf(a)[column], valuesOf(b)[column]) || a.position - b.position,
    );
    body.append(...sorted.map((entry) => entry.row));
    heads.forEach((head, index) => {
      if (index === column) head.setAttribute("aria-sort", descends ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    revealed = null;
    show(`Sorted by ${heads[column].textContent}, ${descends ? "descending" : "ascending"}.`);
  };

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      // Numbers are sorted largest first; the first column and text in their own order.
      const descends = now ? now === "ascending" : head.classList.contains("n");
      sort(column, descends);
    });
  });
  heads[0].setAttribute("aria-sort", "ascending");

  const follow = () => {
    const target = open(location.hash);
    const row = target && target.closest("#table tbody tr");
    if (row) {
      revealed = entries.find((entry) => entry.row === row);
      show();
      row.scrollIntoView({ block: "center" });
      row.querySelector("a").focus({ preventScroll: true });
    }
  };
  const restart = () => {
    most = PAGE;
    revealed = null;
    show();
  };
  search.addEventListener("input", restart);
  action.addEventListener("change", restart);
  byId("more").addEventListener("click", () => { most += PAGE; show(); });
  byId("all").addEventListener("click", () => { most = Infinity; show(); });
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("controls").hidden = false;
  show();
  byId("status").textContent = "";
  addEventListener("hashchange", follow);
  follow();
})();
