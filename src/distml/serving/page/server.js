// The facts that the server wrote into the page, and the two things the page asks it for: an answer, and its metrics.

const facts = JSON.parse(byId("facts").textContent);
// The page's own address, so that a proxy may add a prefix to the path, with or without a slash at its end.
const base = location.origin + location.pathname.replace(/\/*$/, "/");
const inferRoute = `v2/models/${facts.model}/infer`;
const predictRoute = `v1/models/${facts.model}:predict`;
const megabytes = Math.floor(facts.largest_file / 1e6);
const sizeHint = `a file may have about ${megabytes} MB, because base64 makes it a third longer; choose a smaller one`;
const outputs = ["probabilities", "images", "class_name"];

for (const link of document.querySelectorAll("footer a")) link.href = base + link.getAttribute("href");

function byId(id) {
  return document.getElementById(id);
}

// A new element with attributes and children. A style attribute would violate the page's policy.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// A request without an answer: `kind` and `message` for the person, and whether the same request may succeed later.
class Problem extends Error {
  constructor(kind, message, mayPass) {
    super(message);
    this.kind = kind;
    this.mayPass = mayPass;
  }
}

// The answer to one image file in base64. Throws a Problem.
async function infer(file) {
  const input = {name: "image_bytes", datatype: "BYTES", shape: [1], data: [file]};
  const body = JSON.stringify({inputs: [input], outputs: outputs.map((name) => ({name}))});
  const started = performance.now();
  let response, text;
  try {
    const headers = {"content-type": "application/json"};
    response = await fetch(base + inferRoute, {method: "POST", headers, body, signal: AbortSignal.timeout(30000)});
    text = await response.text();
  } catch {
    throw new Problem("No answer", "The server cannot be reached. Check that it runs, then try again.", true);
  }
  const milliseconds = performance.now() - started;
  const answer = parsed(text);
  const read = response.ok ? answerOf(answer) : null;
  if (!read) throw refusal(response.status, answer?.error);
  return {file, milliseconds, ...read};
}

// The parts of a V2 answer to one image, or null if the document is not such an answer.
function answerOf(document) {
  if (!Array.isArray(document?.outputs)) return null;
  const data = Object.fromEntries(document.outputs.map((output) => [output?.name, output?.data]));
  const {probabilities, images: pixels, class_name: names} = data;
  const complete = areNumbers(probabilities) && areNumbers(pixels) && pixels.length === 784 && Array.isArray(names);
  return complete ? {version: document.model_version, probabilities, pixels, className: names[0]} : null;
}

function areNumbers(list) {
  return Array.isArray(list) && list.length > 0 && list.every(Number.isFinite);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function refusal(status, sentence) {
  const isFromServer = typeof sentence === "string";
  const message = isFromServer ? sentence : `The answer has status ${status} and is not from the model's server.`;
  if (status === 413 && isFromServer) return new Problem("Refused", `${sentence}; ${sizeHint}`, false);
  if (status < 400) return new Problem("No answer", message, true);
  if (status === 503) return new Problem("The server is busy", message, true);
  return status < 500 ? new Problem("Refused", message, false) : new Problem("The server failed", message, true);
}

// The samples of /metrics that begin with "predictor_": {name, labels, value}. Throws a Problem.
async function metrics() {
  let response, text;
  try {
    response = await fetch(base + "metrics", {signal: AbortSignal.timeout(5000)});
    text = await response.text();
  } catch {
    throw new Problem("No answer", "does not answer", true);
  }
  if (!response.ok) throw new Problem("No metrics", `no metrics: status ${response.status}`, true);
  const lines = text.matchAll(/^(predictor_\w+)(?:\{(.*)\})? (\S+)$/gm);
  const samples = Array.from(lines, ([, name, labels = "", value]) => {
    const pairs = Array.from(labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g), ([, label, content]) => [label, content]);
    return {name, labels: Object.fromEntries(pairs), value: Number(value)};
  });
  if (!samples.length) throw new Problem("No metrics", "answers without metrics", true);
  return samples;
}
