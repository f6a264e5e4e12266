// The answer's part of the page.

const bars = facts.classes.map((name) => {
  const fill = element("i");
  const percent = element("span", {class: "percent"}, "–");
  const row = element("li", {}, element("span", {}, name), element("span", {class: "track"}, fill), percent);
  byId("bars").append(row);
  return {row, fill, percent};
});
// The digest of each version that the page has heard of.
const digests = {[facts.version]: facts.digest};
let shown = null;

function showWaiting() {
  byId("answer").setAttribute("aria-busy", "true");
  allowCopying(false);
}

// Remove the last answer, so that a problem does not stand above the probabilities of another image.
function clearAnswer() {
  shown = null;
  for (const {row, fill, percent: text} of bars) {
    row.classList.remove("top");
    fill.style.width = "0";
    text.textContent = "–";
  }
  for (const id of ["true-class", "latency", "answer-version"]) byId(id).textContent = "–";
  byId("answer-digest").textContent = "";
  byId("seen").getContext("2d").clearRect(0, 0, 28, 28);
  allowCopying(false);
}

// Show an answer of `infer`; `trueClass` is the index of the class, or null if nobody knows it.
// Throws a Problem if a new version has other classes than the page.
function showAnswer(answer, trueClass) {
  const best = answer.probabilities.indexOf(Math.max(...answer.probabilities));
  if (answer.probabilities.length !== facts.classes.length || answer.className !== facts.classes[best]) {
    throw new Problem("No answer", "The model's classes have changed; reload the page.", false);
  }
  shown = answer;
  showHeadline(answer.className, `${percent(answer.probabilities[best])}${verdict(best, trueClass)}`);
  answer.probabilities.forEach((probability, index) => {
    const {row, fill, percent: text} = bars[index];
    row.classList.toggle("top", index === best);
    fill.style.width = `${100 * probability}%`;
    text.textContent = percent(probability);
  });
  byId("true-class").textContent = trueClass === null ? "not known" : facts.classes[trueClass];
  byId("latency").textContent = `${short(answer.milliseconds)} ms`;
  showVersionOfAnswer();
  showSeen(answer.pixels);
  allowCopying(true);
}

function verdict(best, trueClass) {
  if (trueClass === null) return "";
  return best === trueClass ? " · right" : ` · wrong, its true class is ${facts.classes[trueClass]}`;
}

function percent(probability) {
  return `${(100 * probability).toFixed(1)}%`;
}

function showProblem(problem) {
  clearAnswer();
  showHeadline(problem.kind, problem.message, problem.mayPass);
  byId("live-answer").classList.add("problem");
}

function showHeadline(headline, detail, mayRetry = false) {
  byId("answer").setAttribute("aria-busy", "false");
  byId("live-answer").classList.remove("problem");
  byId("headline").textContent = headline;
  byId("detail").textContent = detail;
  byId("again").hidden = !mayRetry;
}

// Draw the 28x28 grey levels that the model got.
function showSeen(pixels) {
  const pen = byId("seen").getContext("2d");
  const image = pen.createImageData(28, 28);
  pixels.forEach((level, index) => image.data.set([level, level, level, 255], 4 * index));
  pen.putImageData(image, 0, 0);
}

function showVersionOfAnswer() {
  byId("answer-version").textContent = shown.version;
  byId("answer-digest").textContent = shortDigest(shown.version);
}

function shortDigest(version) {
  return (digests[version] ?? "").slice(0, 12);
}

// Show the version that answers now.
function showVersion(version, digest) {
  digests[version] = digest;
  byId("version").textContent = version;
  byId("digest").textContent = shortDigest(version);
  byId("digest").title = digest;
  if (shown) showVersionOfAnswer();
}
