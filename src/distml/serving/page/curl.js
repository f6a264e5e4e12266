// "Copy as curl": the shown answer's request as a command for a shell, in four forms.

const forms = {
  "V1, image file": [predictRoute, ({file}) => ({instances: [{image_bytes: {b64: file}}]})],
  "V1, pixels": [predictRoute, ({pixels}) => ({instances: [rowsOf(pixels)]})],
  "TensorFlow Serving, columns": [predictRoute, ({file}) => ({inputs: {image_bytes: [{b64: file}]}})],
  "V2, JSON": [
    inferRoute,
    ({file}) => ({inputs: [{name: "image_bytes", datatype: "BYTES", shape: [1], data: [file]}]}),
  ],
};
// Linux limits one argument of a command to 131,072 bytes. A command for a larger image reads the image's file.
const longestArgument = 100000;

const formButtons = Object.keys(forms).map((form) => {
  const button = element("button", {type: "button", disabled: ""}, form);
  button.addEventListener("click", () => copyCommand(...forms[form]));
  return button;
});
byId("forms").append(...formButtons);

// Allow or forbid copying, and remove the command of an earlier image.
function allowCopying(allowed) {
  byId("command").hidden = true;
  byId("copied").textContent = "";
  for (const button of formButtons) button.disabled = !allowed;
}

function copyCommand(route, bodyOf) {
  const address = quoted(base + route);
  const body = JSON.stringify(bodyOf(shown));
  if (body.length < longestArgument) {
    copy(`curl ${address} -d ${quoted(body)}`, "a shell");
    return;
  }
  const [before, after] = JSON.stringify(bodyOf({file: "FILE"})).split("FILE").map(quoted);
  const file = `base64 < ${quoted(shown.name)} | tr -d '\\n'`;
  const bodyFromFile = `{ printf %s ${before}; ${file}; printf %s ${after}; }`;
  copy(`${bodyFromFile} | curl ${address} -d @-`, `a shell in the folder of ${shown.name}`);
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function rowsOf(pixels) {
  return Array.from({length: 28}, (_, row) => pixels.slice(28 * row, 28 * row + 28));
}

async function copy(text, where) {
  const area = byId("command");
  area.hidden = false;
  area.value = text;
  try {
    // Without a secure context (HTTPS or localhost) the browser has no clipboard for the page.
    await navigator.clipboard.writeText(text);
    byId("copied").textContent = `Copied. Paste it into ${where}:`;
  } catch {
    area.focus();
    area.select();
    byId("copied").textContent =
      `The browser does not let this page copy. Copy the selected command with Ctrl+C, and paste it into ${where}:`;
  }
}
