// Small charts as SVG paths, in a box of 300 x 80.

const chartWidth = 300;
const chartHeight = 80;

function path(className, description) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "path");
  made.setAttribute("class", className);
  made.setAttribute("d", description);
  return made;
}

// Values over time, newest at the right; null leaves a gap. `count` values fill the width.
function drawLine(chart, values, count) {
  const top = 1.1 * Math.max(...values.map((value) => value ?? 0)) || 1;
  const step = chartWidth / (count - 1);
  const points = values.map((value, index) => value === null ? null : [
    (chartWidth - (values.length - 1 - index) * step).toFixed(1),
    (chartHeight - chartHeight * value / top).toFixed(1),
  ]);
  const runs = [[]];
  for (const point of points) {
    if (point) runs.at(-1).push(point);
    else runs.push([]);
  }
  const drawn = runs.filter((run) => run.length > 1);
  const alone = runs.filter((run) => run.length === 1);
  const line = (run) => `M${run.join("L")}`;
  const dot = ([point]) => `M${point}h0`;
  const area = (run) => `M${run[0][0]},${chartHeight}L${run.join("L")}V${chartHeight}Z`;
  chart.replaceChildren(
    path("area", drawn.map(area).join("")),
    path("line", drawn.map(line).join("")),
    path("dot", alone.map(dot).join("")),
  );
}

// Two histograms, each scaled to its own peak: `counts` as an area, `reference` as a dotted outline.
function drawHistograms(chart, counts, reference) {
  const outline = (list) => {
    const scale = chartHeight / (1.1 * Math.max(...list) || 1);
    const steps = list.map((count) => `V${(chartHeight - scale * count).toFixed(1)}h${chartWidth / list.length}`);
    return `M0,${chartHeight}${steps.join("")}V${chartHeight}`;
  };
  chart.replaceChildren(
    path("area", outline(counts)), path("line", outline(counts)), path("reference", outline(reference)),
  );
}
