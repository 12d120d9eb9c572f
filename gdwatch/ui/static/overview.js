// The overview: what another threshold would do, and commands to be copied.

import "./acts.js";

const range = document.getElementById("threshold");

function count(from, to, column) {
  const steps = JSON.parse(range.dataset.steps);
  const [first, beyond] = [from, to].map((each) => Math.round((each - 0.5) * 2 * steps.length));
  return steps.slice(first, beyond).reduce((sum, step) => sum + step[column], 0);
}

const UNSURE = 0, FILED = 1, RIGHT = 2, WRONG = 3;
const many = (count, are) => `${count} ${count === 1 ? are.replace("are", "is") : are}`;

function tell() {
  const now = Number(range.dataset.now);
  const tried = Number(range.value) / 100;
  const line = document.getElementById("tried");
  const width = line.ownerSVGElement.viewBox.baseVal.width;
  for (const end of ["x1", "x2"]) line.setAttribute(end, (tried - 0.5) * 2 * width);
  const [low, high] = [Math.min(now, tried), Math.max(now, tried)];
  const [right, wrong] = [count(low, high, RIGHT), count(low, high, WRONG)];
  let text = `At ${range.value} %: `;
  if (low === high) text += "as it is now.";
  else if (tried < now) text += `${many(count(low, high, UNSURE), "that are")} unsure would be filed.`;
  else text += `${many(count(low, high, FILED), "that are")} filed would be unsure.`;
  if (right + wrong > 0) {
    const share = Math.round(100 * right / (right + wrong));
    text += ` People have decided ${right + wrong} as sure as these: `
      + `the model was right in ${right}, ${share} %.`;
  } else if (low !== high) {
    text += " Nobody has decided any as sure as these yet.";
  }
  if (low !== high) text += ` To use it, set min_confidence = ${tried}.`;
  document.getElementById("would").textContent = text;
  range.setAttribute("aria-valuetext", `${range.value} percent`);
}

if (range !== null) {
  range.addEventListener("input", tell);
  const chart = document.getElementById("tried").ownerSVGElement;
  const drag = (event) => {
    if (!(event.buttons & 1)) return;
    const {left, width} = chart.getBoundingClientRect();
    range.value = 50 + 50 * (event.clientX - left) / width;
    tell();
  };
  chart.addEventListener("pointerdown", drag);
  chart.addEventListener("pointermove", drag);
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {  // a browser allows it on this machine or over TLS only: the person copies
      getSelection().selectAllChildren(text);
    }
  });
}
