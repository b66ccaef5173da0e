(() => {
  "use strict";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const points = new Map(JSON.parse(document.getElementById("points").textContent).map((p) => [p.name, p]));
  const tip = document.getElementById("tip");
  let batch = all("[data-of-batch]")[0].dataset.ofBatch;
  document.documentElement.classList.add("with-js");

  function choose(name, goThere) {
    for (const element of all(".network, .mark, #networks tbody tr")) {
      element.classList.toggle("chosen", element.dataset.network === name);
    }
    for (const button of all(".tabs button")) {
      button.setAttribute("aria-pressed", String(button.dataset.network === name));
    }
    const section = all(".network").find((s) => s.dataset.network === name);
    if (section && goThere) {
      history.replaceState(null, "", "#" + section.id);
      document.querySelector(".tabs").scrollIntoView({ block: "start" });
    }
  }

  function showBatch(size) {
    batch = size;
    for (const element of all("[data-of-batch]")) {
      element.classList.toggle("other", element.dataset.ofBatch !== size);
    }
    for (const button of all(".choice button")) {
      button.setAttribute("aria-pressed", String(button.dataset.batch === size));
    }
  }

  function line(text, tag = "div") {
    const element = document.createElement(tag);
    element.textContent = text;
    return element;
  }

  function showTip(mark) {
    const point = points.get(mark.dataset.network);
    tip.replaceChildren(line(point.name, "b"), line(point.speed[batch]), line(point.accuracy));
    if (point.columns) tip.append(line(point.columns + " of the columns kept"));
    tip.hidden = false;
    const at = mark.querySelector(".halo").getBoundingClientRect();
    const width = document.documentElement.clientWidth;
    const left = Math.max(8, Math.min(at.left + at.width / 2 - tip.offsetWidth / 2, width - tip.offsetWidth - 8));
    const above = at.top - tip.offsetHeight - 6;
    tip.style.left = left + scrollX + "px";
    tip.style.top = (above > 0 ? above : at.bottom + 6) + scrollY + "px";
  }

  for (const mark of all(".mark")) {
    for (const event of ["pointerenter", "focus"]) mark.addEventListener(event, () => showTip(mark));
    for (const event of ["pointerleave", "blur"]) mark.addEventListener(event, () => { tip.hidden = true; });
    mark.addEventListener("click", () => choose(mark.dataset.network, true));
    mark.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      choose(mark.dataset.network, true);
    });
  }
  for (const button of all(".tabs button")) {
    button.addEventListener("click", () => choose(button.dataset.network, true));
  }
  for (const link of all("#networks tbody a")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      choose(link.closest("tr").dataset.network, true);
    });
  }
  for (const button of all(".choice button")) {
    button.addEventListener("click", () => showBatch(button.dataset.batch));
  }

  for (const table of all("table.sortable")) {
    const heads = all("thead th", table);
    heads.forEach((head, index) => {
      head.tabIndex = 0;
      const sort = () => {
        const down = head.getAttribute("aria-sort") !== "descending";
        const value = (row) => row.cells[index].dataset.value ?? row.cells[index].textContent;
        const rows = all("tbody tr", table).sort((a, b) => {
          const [x, y] = [value(a), value(b)];
          const order = index ? Number(x) - Number(y) : x.localeCompare(y);
          return down ? -order : order;
        });
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        table.tBodies[0].append(...rows);
      };
      head.addEventListener("click", sort);
      head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
    });
  }

  const linked = document.getElementById(location.hash.slice(1));
  const chosen = linked?.matches(".network") ? linked : document.querySelector(".network.chosen");
  showBatch(batch);
  choose(chosen.dataset.network, false);
})();
