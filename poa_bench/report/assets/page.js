// Puts the page's data into the libraries: Vega-Embed draws the charts, DataTables runs the tables.
const report = JSON.parse(document.getElementById("report-data").textContent);
report.datasets.curves = unpackedCurves(report.datasets.curves);

/** Records for the chart, from the columns that packed_curves of page_values.py stores to keep the page light. */
function unpackedCurves({ runs, scalars, run, scalar, step, value }) {
  return step.map((_, i) => ({ run: runs[run[i]], scalar: scalars[scalar[i]], step: step[i], value: value[i] }));
}

const dark = matchMedia("(prefers-color-scheme: dark)");
function setTheme(isDark) {
  document.documentElement.style.colorScheme = isDark ? "dark" : "light";
  document.documentElement.classList.toggle("dark", isDark); // DataTables looks at this
}
setTheme(dark.matches);
dark.addEventListener("change", (event) => setTheme(event.matches));
document.getElementById("theme").addEventListener("click", () => setTheme(!document.documentElement.classList.contains("dark")));

async function drawCharts() {
  for (const figure of document.querySelectorAll("figure[data-chart]")) {
    // every view writes its own derived fields into the rows: each gets a copy
    const spec = { ...report.specs[figure.dataset.chart], datasets: structuredClone(report.datasets) };
    const options = { renderer: "svg", actions: { export: true, source: false, compiled: false, editor: false } };
    const { view } = await vegaEmbed(figure.querySelector(".chart"), spec, options);
    figure.view = view;
  }
  document.body.dataset.drawn = "true";
}

/** DataTables leaves the filters of a column without a name: say which column they filter. */
function nameFilters(table) {
  for (const field of table.table().header().querySelectorAll(".dtcc input, .dtcc select")) {
    const title = table.column(Number(field.closest("[data-dt-column]").dataset.dtColumn)).title();
    field.ariaLabel = (field.tagName === "SELECT" ? "How to filter " : "Filter ") + title;
  }
}

for (const id of ["size-table", "gain-table", "published-table"]) {
  const element = document.getElementById(id);
  if (element) {
    const table = new DataTable(element, {
      paging: false,
      order: [],
      autoWidth: false,
      layout: { topStart: "info", topEnd: "search", bottomStart: null, bottomEnd: null },
      columnControl: { target: 1, content: ["search"] },
      columnDefs: [{ targets: "secondary", visible: false }],
      language: { search: "Search all columns" },
    });
    nameFilters(table);
    if (id === "size-table") {
      document.getElementById("every-metric")?.addEventListener("change", (event) => {
        table.columns(".secondary").visible(event.target.checked);
        nameFilters(table);
      });
    }
  }
}

const form = document.getElementById("pick-form");
const format = (value) => Number(value.toPrecision(4)).toLocaleString("en", { maximumFractionDigits: 6 });

const exported = report.datasets.rows.filter((row) => row.export);
exported.forEach((row, place) => Object.defineProperty(row, "place", { value: place })); // not enumerable: no chart sees it

/** Whether one of the allowed rows is better than a row beyond doubt, from what packed_ties of page_values.py stores. */
function isBeaten(row, allowed, judge) {
  const ties = report.beaten[judge];
  if (!ties) return false;
  const [count, ...level] = ties.rows[row.place];
  return ties.order.slice(0, count).some((place, rank) => !level.includes(rank) && allowed.has(exported[place]));
}

/** Whether other work disturbed the measurement of a cost: it is too high then. */
const disturbed = (row, cost) => row[cost.replace("c", "b")] === 1;

/** The same rule as poa_bench.report.pick: the cheapest of those that cannot be told apart from the best, quiet ones first. */
function pick(score, limits, cost) {
  const rank = report.chosenBy[score];
  const allowed = exported.filter(
    (row) => score in row && Object.entries(limits).every(([name, limit]) => row[name] <= limit),
  );
  allowed.sort((a, b) => report.signs[score] * (b[rank] - a[rank]) || a[cost] - b[cost]);
  const among = new Set(allowed);
  const tie = allowed.filter((row) => !isBeaten(row, among, rank));
  const busy = (row) => Number([...Object.keys(limits), cost].some((name) => disturbed(row, name)));
  const group = [...tie].sort((a, b) => busy(a) - busy(b) || (a[cost] ?? Infinity) - (b[cost] ?? Infinity));
  const [best, ...others] = group;
  const runnerUp = others[0] ?? allowed.find((row) => !tie.includes(row));
  return { best, runnerUp, group, highest: tie[0], cheaper: best && allowed.find((row) => row[cost] < best[cost]) };
}

function paragraph(label, text) {
  const element = document.createElement("p");
  element.append(Object.assign(document.createElement("b"), { textContent: label + " " }), text);
  return element;
}

function showPick() {
  const score = form.elements.score.value;
  const limits = {};
  for (const slider of form.querySelectorAll("input")) {
    const last = Number(slider.value) === Number(slider.max);
    const shown = last ? "any" : format(slider.steps[slider.value]);
    slider.previousElementSibling.textContent = shown;
    slider.setAttribute("aria-valuetext", shown);
    if (!last) limits[slider.name] = slider.steps[slider.value];
  }
  const cost = Object.keys(limits)[0] ?? Object.keys(report.costs)[0];
  const { best, runnerUp, group, highest, cheaper } = pick(score, limits, cost);
  const answer = document.getElementById("pick-answer");
  if (!best) {
    answer.replaceChildren("No measured size is within these limits.");
    return;
  }
  const [low, high] = ["l", "h"].map((letter) => score.replace("s", letter));
  const spread = (row) => (score.replace("s", "e") in row ? ` ± ${format(row[score.replace("s", "e")])}` : "") +
    (low in row ? ` [${format(row[low])}, ${format(row[high])}]` : "");
  const describe = (row) => `${row.spec} (${row.series}): ${report.scores[score]} ${format(row[score])}${spread(row)}, ` +
    Object.entries(report.costs).filter(([name]) => name in row).map(([name, title]) => `${format(row[name])}${disturbed(row, name) ? " †" : ""} ${title}`).join(", ");
  const command = Object.assign(document.createElement("code"), { textContent: best.export });
  const lines = [paragraph("Chosen:", describe(best)), paragraph("Its score is", `${report.worth[best[score.replace("s", "v")]] ?? "no measure of better or worse"}.`)];
  if (group.length > 1) {
    const names = group.slice(0, 12).map((row) => row.spec).join(", ") + (group.length > 12 ? `, ${group.length - 12} more` : "");
    lines.push(paragraph("A tie:", `${group.length} sizes cannot be told apart from the highest, ${highest.spec} (${highest.series}): ${names}; the one with the least ${report.costs[cost]} is chosen.`));
  }
  if (runnerUp) lines.push(paragraph("Runner-up:", describe(runnerUp) + (group.includes(runnerUp) ? " (in the tie)" : "")));
  if (cheaper) {
    const loss = report.signs[score] * (best[score] - cheaper[score]);
    const change = `${loss < 0 ? "gains" : "loses"} ${format(Math.abs(loss))}`;
    lines.push(paragraph("Next cheaper:", `${cheaper.spec} ${change} and needs ${format(cheaper[cost])} instead of ${format(best[cost])} ${report.costs[cost]}`));
  }
  lines.push(paragraph("How:", report.how[score]));
  for (const other of report.same[score]) {
    const chosen = pick(other, limits, cost).best;
    const text = !chosen ? "none" : chosen === best ? "the same" : `${chosen.spec} (${chosen.series})`;
    lines.push(paragraph(`Chosen by ${report.scores[other]}:`, text));
  }
  lines.push(paragraph("Export:", command), paragraph("From:", best.origin));
  answer.replaceChildren(...lines);
}

if (form) {
  for (const slider of form.querySelectorAll("input")) {
    const values = report.datasets.rows.filter((row) => row.export && slider.name in row).map((row) => row[slider.name]);
    slider.steps = [...new Set(values)].sort((a, b) => a - b);
    slider.max = Math.max(0, slider.steps.length - 1);
    slider.value = slider.max;
  }
  form.addEventListener("input", showPick);
  form.addEventListener("submit", (event) => event.preventDefault());
  showPick();
}

drawCharts();
