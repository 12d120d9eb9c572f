// Reviewing: keys and buttons, the next photographs fetched ahead, and a verdict sent for each.
// The next photograph is shown at once; verdicts are sent one after the other behind it.

import {act} from "./acts.js";

const AHEAD = 4;       // pictures that are fetched before they are shown
const REFILL = 6;      // with fewer photographs left, the next page is fetched
const PACE_OVER = 20;  // verdicts over which the pace is measured

const find = (id) => document.getElementById(id);
const desk = find("desk");
const first = JSON.parse(desk.dataset.first);

let line = first.photographs;  // all photographs so far, in order
let at = 0;                    // the one that is shown
let after = first.after;
let left = Number(desk.dataset.waiting);
let fetching = null;
let sending = Promise.resolve();
const said = [];               // verdicts of this page, the newest last
const times = [];
const pictures = new Map();    // by address, so that the browser keeps them

const addressOf = (photograph) => `/pictures/${photograph.id}/large`;

function prefetch() {
  for (const photograph of line.slice(at, at + AHEAD)) {
    const address = addressOf(photograph);
    if (pictures.has(address)) continue;
    const picture = new Image();
    picture.src = address;
    picture.decode().catch(() => {});
    pictures.set(address, picture);
  }
  for (const address of [...pictures.keys()].slice(0, -30)) pictures.delete(address);
  if (after !== null && line.length - at < REFILL) refill();
}

function refill() {
  fetching ??= (async () => {
    const {outcome, order, reason} = desk.dataset;
    const asked = new URLSearchParams({outcome, order, reason, after});
    const response = await fetch(`/review/next?${asked}`, {headers: {"Accept": "application/json"}});
    if (!response.ok) throw new Error("The next photographs could not be fetched.");
    const page = await response.json();
    const known = new Set(line.map((each) => each.id));
    line = line.concat(page.photographs.filter((each) => !known.has(each.id)));
    after = page.after;
    fetching = null;
    show();
  })().catch((error) => { fetching = null; complain(error.message); });
  return fetching;
}

function show() {
  const photograph = line[at];
  desk.hidden = photograph === undefined;
  find("done").hidden = photograph !== undefined || after !== null;
  find("looking").hidden = photograph !== undefined || after === null;
  find("tally").textContent = said.length ? `You have decided ${said.length}.` : "";
  prefetch();
  tell();
  if (photograph === undefined) return;
  const picture = find("picture");
  if (picture.dataset.id !== String(photograph.id)) {
    picture.dataset.id = photograph.id;
    picture.src = addressOf(photograph);
    desk.dataset.ready = "";
    picture.decode().catch(() => {}).then(() => {
      if (picture.dataset.id === String(photograph.id)) desk.dataset.ready = photograph.id;
    });
  }
  picture.alt = `Photograph ${photograph.name}`;
  drawBox(photograph);
  find("name").textContent = photograph.path;
  find("name").href = `/photographs/${photograph.id}`;
  find("when").textContent = photograph.when;
  find("why").textContent = photograph.reason;
  const guess = photograph.guess;
  find("guess").textContent = guess === null ? "The model has no guess."
    : `${guess === "male" ? "Male" : "Female"}, ${Math.floor(photograph.confidence * 1000) / 10} %`;
  find("confidence").hidden = guess === null;
  find("confidence").value = photograph.confidence ?? 0.5;
  for (const button of document.querySelectorAll("[data-verdict]")) {
    button.classList.toggle("said", button.dataset.verdict === photograph.verdict);
  }
}

function drawBox({box, size}) {
  const svg = find("box");
  svg.toggleAttribute("hidden", !box || !size);
  if (!box || !size) return;
  svg.setAttribute("viewBox", `0 0 ${size[0]} ${size[1]}`);
  ["x", "y", "width", "height"].forEach((name, number) => {
    svg.firstElementChild.setAttribute(name, box[number]);
  });
}

function tell() {
  const pace = times.length > 1 ? (times.at(-1) - times[0]) / (times.length - 1) / 1000 : null;
  let text = `${said.length} decided, ${Math.max(left, 0)} to go`;
  if (pace !== null && left > 0) {
    const seconds = Math.round(pace * left);
    text += seconds < 90 ? `, about ${seconds} s` : `, about ${Math.round(seconds / 60)} min`;
  }
  find("progress").textContent = text;
}

function complain(text) {
  find("trouble").textContent = text;
}

function decide(verdict) {
  const photograph = line[at];
  // Nobody decides on what is not there to be seen yet.
  if (photograph === undefined || desk.dataset.ready !== String(photograph.id)) return;
  complain("");
  const earlier = said.find((word) => word.photograph === photograph);
  if (earlier !== undefined) takeBack(earlier);
  const word = {photograph, verdict, at};
  photograph.verdict = verdict;
  said.push(word);
  left -= 1;
  times.push(performance.now());
  if (times.length > PACE_OVER) times.shift();
  at += 1;
  show();
  sending = sending.then(() => send(word));
}

async function send(word) {
  if (word.takenBack) return;
  try {
    word.command = (await act(`/photographs/${word.photograph.id}/verdict`,
                              {verdict: word.verdict, seen: word.photograph.seen})).command;
  } catch (error) {
    said.splice(said.indexOf(word), 1);
    if (error.status === 409 || error.status === 404) {
      complain(`${error.message}.`);
    } else {  // not recorded: it is shown again
      word.photograph.verdict = undefined;
      left += 1;
      at = Math.min(at, word.at);
      complain(`Not recorded: ${error.message}`);
    }
    show();
  }
}

function undo() {
  const word = said.at(-1);
  if (word === undefined) return;
  complain("");
  takeBack(word);
  at = word.at;
  show();
}

function takeBack(word) {
  said.splice(said.indexOf(word), 1);
  word.takenBack = true;
  word.photograph.verdict = undefined;
  left += 1;
  sending = sending.then(async () => {
    if (word.command === undefined) return;  // it was never sent
    try {
      const answer = await act(`/undo/${word.command}`);
      for (const now of answer.photographs) {
        if (now.id === word.photograph.id) word.photograph.seen = now.seen;
      }
    } catch (error) {
      complain(`Not taken back: ${error.message}.`);
    }
  });
}

function step(name) {
  if (name === "undo") undo();
  else if (name === "back" && at > 0) { at -= 1; show(); }
  else if (name === "on" && at < line.length) { at += 1; show(); }
}

const KEYS = {
  f: () => decide("female"),
  m: () => decide("male"),
  n: () => decide("neither"),
  r: () => decide("reject"),
  u: () => step("undo"),
  ArrowLeft: () => step("back"),
  ArrowRight: () => step("on"),
};

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("select, input, textarea");
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || isTyping) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!Object.hasOwn(KEYS, key)) return;
  event.preventDefault();
  KEYS[key]();
});
for (const button of document.querySelectorAll("[data-verdict]")) {
  button.addEventListener("click", () => decide(button.dataset.verdict));
}
for (const button of document.querySelectorAll("[data-step]")) {
  button.addEventListener("click", () => step(button.dataset.step));
}
// A swipe to the left goes on, one to the right goes back.
let swipe = null;
const frame = document.querySelector(".frame");
frame.addEventListener("pointerdown", (event) => { swipe = event.isPrimary ? event : null; });
frame.addEventListener("pointerup", (event) => {
  const across = swipe === null ? 0 : event.clientX - swipe.clientX;
  const along = swipe === null ? 0 : event.clientY - swipe.clientY;
  swipe = null;
  if (Math.abs(across) > 60 && Math.abs(across) > 2 * Math.abs(along)) {
    step(across < 0 ? "on" : "back");
  }
});
for (const choice of document.querySelectorAll(".queue select")) {
  choice.addEventListener("change", () => {
    if (choice.name === "outcome") choice.form.elements.reason?.remove();
    choice.form.requestSubmit();
  });
}
window.addEventListener("beforeunload", (event) => {
  if (said.some((word) => word.command === undefined)) event.preventDefault();
});

show();
