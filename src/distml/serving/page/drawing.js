// Draw an image, white on black; each stroke is sent when it ends.

const canvas = byId("drawing");
const pen = canvas.getContext("2d");
let pointer = null;
let sentDrawing = null;

function clearDrawing() {
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  byId("draw-hint").hidden = false;
}

function drawTo(event) {
  const box = canvas.getBoundingClientRect();
  pen.lineTo((event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height);
  pen.stroke();
}

canvas.addEventListener("pointerdown", (event) => {
  if (pointer !== null || event.button !== 0) return;
  pointer = event.pointerId;
  canvas.setPointerCapture(pointer);
  byId("draw-hint").hidden = true;
  pen.beginPath();
  // Two points at one place draw a dot.
  drawTo(event);
  drawTo(event);
});
canvas.addEventListener("pointermove", (event) => {
  if (event.pointerId === pointer) drawTo(event);
});
for (const end of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(end, (event) => {
    if (event.pointerId !== pointer) return;
    pointer = null;
    canvas.toBlob((file) => {
      sentDrawing = file;
      send(file, {mayScroll: false});
    });
  });
}
byId("clear").addEventListener("click", () => {
  clearDrawing();
  if (sentDrawing && sent === sentDrawing) forgetSent();
});

Object.assign(pen, {strokeStyle: "#fff", lineWidth: 24, lineCap: "round", lineJoin: "round"});
clearDrawing();
