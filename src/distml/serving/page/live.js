// The server, live: every two seconds, while the page is visible, the differences between two readings of its metrics.

const period = 2000;
const points = 60;
const rates = [];
const latencies = [];
let before = null;

byId("model").textContent = facts.model;
document.title = `${facts.model}: image classification`;
showVersion(facts.version, facts.digest);

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
    time: performance.now() / 1000,
    requests: sum(requests),
    refused: sum(requests.filter(({labels}) => labels.outcome !== "ok")),
    seconds: histogram("predictor_request_seconds"),
    incoming: histogram("predictor_image_intensity"),
    training: histogram("predictor_training_image_intensity"),
    served: of("predictor_model_info")[0]?.labels,
  };
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
  rates.push((now.requests - then.requests) / seconds);
  latencies.push(requests ? 1000 * (now.seconds.sum - then.seconds.sum) / requests : null);
  for (const list of [rates, latencies]) list.splice(0, list.length - points);
  const refused = (now.refused - then.refused) / seconds;
  byId("rate").textContent = short(rates.at(-1));
  byId("rate-note").textContent = `highest ${short(Math.max(...rates))}, refused now ${short(refused)}`;
  byId("mean-latency").textContent = requests ? `${short(latencies.at(-1))} ms` : "–";
  const tail = requests ? `99 of 100 below ${short(1000 * p99(now.seconds, then.seconds))} ms` : "no request just now";
  byId("latency-note").textContent = `in the server: ${tail}`;
  drawLine(byId("rate-chart"), rates, points);
  drawLine(byId("latency-chart"), latencies, points);
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

async function poll() {
  let samples;
  try {
    samples = await metrics();
  } catch (problem) {
    before = null;
    showState("down", problem.message);
    return;
  }
  const now = reading(samples);
  showState("up", "answers");
  if (now.served) showVersion(now.served.version, now.served.digest);
  // A counter that fell belongs to a server that was started again.
  if (before && now.requests >= before.requests) showDifferences(now, before);
  showIntensities(now);
  before = now;
}

async function pollWhileVisible() {
  if (!document.hidden) await poll();
  setTimeout(pollWhileVisible, period);
}
pollWhileVisible();
