// The server, live: every two seconds, while the page is visible, the differences between two readings of its metrics.

const period = 2000;
const points = 60;
// After more seconds than these the charts get a gap: the page was hidden or the computer asleep. Two readings of a
// slow server are at most 7 seconds apart.
const longest = 8;
const rates = [];
const latencies = [];
let before = null;
let drawnUntil = clock();

byId("model").textContent = facts.model;
document.title = `${facts.model}: image classification`;
showVersion(facts.version, facts.digest);

// The time in seconds. performance.now() may stand still while the computer is asleep.
function clock() {
  return Date.now() / 1000;
}

function reading(samples) {
  const of = (name) => samples.filter((sample) => sample.name === name);
  const sum = (list) => list.reduce((total, {value}) => total + value, 0);
  const buckets = (name) => {
    const counts = new Map();
    for (const {labels, value} of of(`${name}_bucket`)) counts.set(labels.le, (counts.get(labels.le) ?? 0) + value);
    return Array.from(counts, ([edge, count]) => ({edge: Number(edge.replace("+Inf", "Infinity")), count}));
  };
  const histogram = (name) => ({buckets: buckets(name), sum: sum(of(`${name}_sum`)), count: sum(of(`${name}_count`))});
  const requests = of("predictor_requests_total");
  return {
    time: clock(),
    requests: sum(requests),
    refused: sum(requests.filter(({labels}) => labels.outcome !== "ok")),
    seconds: histogram("predictor_request_seconds"),
    incoming: histogram("predictor_image_intensity"),
    training: histogram("predictor_training_image_intensity"),
    served: of("predictor_model_info")[0]?.labels,
  };
}

// Add the points between the newest one and `time`; null is a gap.
function addPoints(time, rate, latency) {
  const count = Math.min(points, Math.max(1, Math.round((time - drawnUntil) * 1000 / period)));
  rates.push(...Array(count).fill(rate));
  latencies.push(...Array(count).fill(latency));
  for (const list of [rates, latencies]) list.splice(0, list.length - points);
  drawnUntil = time;
  drawLine(byId("rate-chart"), rates, points);
  drawLine(byId("latency-chart"), latencies, points);
}

function showNoRate() {
  for (const id of ["rate", "mean-latency"]) byId(id).textContent = "–";
  for (const id of ["rate-note", "latency-note"]) byId(id).textContent = "over HTTP and gRPC";
}

// The latency below which 99 of 100 requests between two readings lie, interpolated within a bucket; in seconds.
function p99(now, then) {
  const earlier = new Map(then.buckets.map(({edge, count}) => [edge, count]));
  const counts = now.buckets.map(({edge, count}) => ({edge, count: count - (earlier.get(edge) ?? 0)}));
  const rank = 0.99 * counts.at(-1).count;
  const index = counts.findIndex(({count}) => count >= rank);
  const low = counts[index - 1] ?? {edge: 0, count: 0};
  const high = counts[index];
  if (high.edge === Infinity) return low.edge;
  return low.edge + (high.edge - low.edge) * (rank - low.count) / (high.count - low.count);
}

function showDifferences(now, then) {
  const seconds = now.time - then.time;
  const requests = now.seconds.count - then.seconds.count;
  const mean = requests ? 1000 * (now.seconds.sum - then.seconds.sum) / requests : null;
  addPoints(now.time, (now.requests - then.requests) / seconds, mean);
  const refused = (now.refused - then.refused) / seconds;
  byId("rate").textContent = short(rates.at(-1));
  byId("rate-note").textContent = `highest ${short(Math.max(...rates))}, refused now ${short(refused)}`;
  byId("mean-latency").textContent = requests ? `${short(mean)} ms` : "–";
  const highest = Math.max(...latencies);
  const tail = requests ? `99 of 100 now below ${short(1000 * p99(now.seconds, then.seconds))} ms` : "no request just now";
  byId("latency-note").textContent = highest ? `highest ${short(highest)} ms, ${tail}` : tail;
}

function showIntensities({incoming, training}) {
  const mean = ({sum, count}) => count ? (sum / count).toFixed(0) : "–";
  const counts = ({buckets}) => buckets.map(({count}, index) => count - (buckets[index - 1]?.count ?? 0));
  byId("intensity").textContent = `${mean(incoming)}, training ${mean(training)}`;
  byId("intensity-note").textContent =
    `${incoming.count.toLocaleString("en")} incoming (blue), training (dotted), black to white`;
  drawHistograms(byId("intensity-chart"), counts(incoming), counts(training));
}

function short(number) {
  return number.toFixed(number > 0 && number < 10 ? 1 : 0);
}

function showState(state, text) {
  if (byId("state").textContent === text) return;
  byId("state").dataset.state = state;
  byId("state").textContent = text;
}

// A counter that fell belongs to a server that was started again, and a time that fell to a clock that was set.
function canCompare(now, then) {
  return then && now.requests >= then.requests && now.time > then.time && now.time < then.time + longest;
}

async function poll() {
  let samples;
  try {
    samples = await metrics();
  } catch (problem) {
    before = null;
    showNoRate();
    showState("down", problem.message);
    return;
  }
  const now = reading(samples);
  showState("up", "answers");
  if (now.served) showVersion(now.served.version, now.served.digest);
  if (canCompare(now, before)) {
    showDifferences(now, before);
  } else {
    addPoints(now.time, null, null);
    showNoRate();
  }
  showIntensities(now);
  before = now;
}

async function pollWhileVisible() {
  if (!document.hidden) await poll();
  setTimeout(pollWhileVisible, period);
}
pollWhileVisible();
