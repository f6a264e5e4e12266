// Ways to give an image: choose a file, drop one, paste one, take a sample.

let newest = 0;
let sent = null;
let again = () => {};

// Send an image file, as it is, and show the answer. `mayScroll`: bring the answer into view on a small screen.
async function send(blob, {trueClass = null, mayScroll = true} = {}) {
  const mine = ++newest;
  sent = blob;
  show(blob);
  again = () => send(blob, {trueClass, mayScroll});
  showWaiting();
  if (mayScroll) byId("bars").scrollIntoView({block: "nearest"});
  try {
    const answer = await infer(await inBase64(blob));
    answer.name = blob.name;
    if (mine === newest) showAnswer(answer, trueClass);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (mine === newest) showProblem(problem);
  }
}

function inBase64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.split(",")[1] ?? "");
    reader.onerror = () => reject(new Problem("Not sent", "The browser cannot read this file.", false));
    reader.readAsDataURL(blob);
  });
}

function show(blob) {
  const preview = byId("preview");
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(blob);
  preview.hidden = false;
  byId("drop-hint").hidden = true;
}

function hidePreview() {
  byId("preview").hidden = true;
  byId("drop-hint").hidden = false;
}

// Remove the sent image and its answer, also one that has not arrived yet.
function forgetSent() {
  newest++;
  sent = null;
  hidePreview();
  clearAnswer();
  showHeadline("No image yet", beginning);
}

// Send the first file of a drop or of the clipboard.
function sendFirst(files, source) {
  if (files.length) {
    send(files[0]);
  } else {
    showProblem(new Problem("Not sent", `The ${source} holds no file; an image from another page must be saved first.`, false));
  }
}

byId("preview").addEventListener("error", hidePreview);

byId("file").addEventListener("change", ({target}) => {
  if (target.files.length) sendFirst([target.files[0]], "choice");
  target.value = ""; // so that choosing the same file again counts
});

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  sendFirst(event.dataTransfer.files, "drop");
});
document.addEventListener("paste", ({clipboardData}) => sendFirst(clipboardData.files, "clipboard"));
byId("again").addEventListener("click", () => again());

if (!facts.samples.length) {
  byId("samples-heading").hidden = true;
  byId("samples").hidden = true;
  byId("detail").textContent = "Give an image to begin.";
}
const beginning = byId("detail").textContent;
facts.samples.forEach((sample, index) => {
  const [src, name] = [`data:image/png;base64,${sample}`, facts.classes[index]];
  const button = element("button", {type: "button"}, element("img", {src, title: name, alt: `Sample: ${name}`}));
  button.addEventListener("click", () => {
    const file = new Blob([Uint8Array.from(atob(sample), (letter) => letter.charCodeAt(0))], {type: "image/png"});
    send(file, {trueClass: index});
  });
  byId("samples").append(button);
});
