// Reviewing many: small photographs are chosen, and get one verdict together.

import {act} from "./acts.js";

const find = (id) => document.getElementById(id);
const desk = find("desk");
const grid = find("grid");

let {photographs: shown, after} = JSON.parse(desk.dataset.first);
let waiting = Number(desk.dataset.waiting);
let decided = 0;
let chosenLast = null;     // the cell from which a click with the shift key chooses
let busy = false;
const said = [];           // commands of this page, the newest last
const chosen = new Set();  // ids

function show() {
  desk.hidden = shown.length === 0;
  find("looking").hidden = shown.length > 0 || after === null;
  find("done").hidden = shown.length > 0 || after !== null;
  for (const id of [...chosen]) if (!shown.some((each) => each.id === id)) chosen.delete(id);
  const cells = new Map([...grid.children].map((cell) => [Number(cell.dataset.id), cell]));
  grid.replaceChildren(...shown.map((each) => cells.get(each.id) ?? cellOf(each)));
  tell();
  if (shown.length === 0 && after !== null && !find("trouble").textContent) more();
}

function cellOf(photograph) {
  const cell = find("cell").content.firstElementChild.cloneNode(true);
  cell.dataset.id = photograph.id;
  cell.querySelector("img").src = `/pictures/${photograph.id}/small`;
  cell.querySelector(".name").textContent = photograph.name;
  const guess = photograph.guess;
  cell.querySelector(".soft").textContent = guess === null ? photograph.reason
    : `${guess}, ${Math.floor(photograph.confidence * 1000) / 10} %`;
  const box = cell.querySelector("input");
  box.addEventListener("click", (event) => choose(cell, box.checked, event.shiftKey));
  return cell;
}

function choose(cell, on, toLast) {
  const cells = [...grid.children];
  const [one, other] = [cells.indexOf(toLast && chosenLast ? chosenLast : cell), cells.indexOf(cell)];
  for (const each of cells.slice(Math.min(one, other), Math.max(one, other) + 1)) mark(each, on);
  chosenLast = cell;
  tell();
}

function mark(cell, on) {
  cell.querySelector("input").checked = on;
  if (on) chosen.add(Number(cell.dataset.id));
  else chosen.delete(Number(cell.dataset.id));
}

function tell() {
  find("progress").textContent =
    `${chosen.size} chosen, ${decided} decided, ${Math.max(waiting, 0)} to go`;
  for (const button of document.querySelectorAll("[data-verdict]")) {
    button.disabled = busy || chosen.size === 0;
  }
}

async function alone(work) {
  if (busy) return;
  busy = true;
  find("trouble").textContent = "";
  tell();
  try {
    await work();
  } catch (error) {
    find("trouble").textContent = error.message;
  }
  busy = false;
  show();
}

const decide = (verdict) => alone(async () => {
  if (chosen.size === 0) return;
  const wanted = shown.filter((each) => chosen.has(each.id));
  const seen = Object.fromEntries(wanted.map((each) => [each.id, each.seen]));
  const answer = await act("/verdicts", {verdict, seen});
  if (answer.command !== null) said.push({command: answer.command, photographs: wanted});
  decided += answer.ids.length;
  waiting -= wanted.length;
  find("trouble").textContent = answer.refused.join(". ");
  shown = shown.filter((each) => !chosen.has(each.id));
  chosen.clear();
  if (shown.length === 0 && after !== null) await fetchMore();
});

const undo = () => alone(async () => {
  const last = said.pop();
  if (last === undefined) return;
  const {photographs} = await act(`/undo/${last.command}`);
  decided -= photographs.length;
  waiting += photographs.length;
  shown = photographs.concat(shown);
});

const more = () => alone(async () => {
  if (after === null) return;
  shown = [];
  await fetchMore();
  scrollTo(0, 0);
});

async function fetchMore() {
  const {outcome, order, reason} = desk.dataset;
  const asked = new URLSearchParams({outcome, order, reason, after, many: 1});
  const response = await fetch(`/review/next?${asked}`, {headers: {"Accept": "application/json"}});
  if (!response.ok) throw new Error("The next photographs could not be fetched.");
  ({photographs: shown, after} = await response.json());
}

function all() {
  const on = chosen.size < shown.length;
  for (const cell of grid.children) mark(cell, on);
  tell();
}

const KEYS = {
  f: () => decide("female"), m: () => decide("male"), n: () => decide("neither"),
  r: () => decide("reject"), a: all, u: undo, ArrowRight: more,
};
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("select, input:not([type='checkbox']), textarea");
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || isTyping) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!Object.hasOwn(KEYS, key)) return;
  event.preventDefault();
  KEYS[key]();
});
for (const button of document.querySelectorAll("[data-verdict]")) {
  button.addEventListener("click", () => decide(button.dataset.verdict));
}
const STEPS = {all, undo, on: more};
for (const button of document.querySelectorAll("[data-step]")) {
  button.addEventListener("click", () => STEPS[button.dataset.step]());
}
for (const choice of document.querySelectorAll(".queue select")) {
  choice.addEventListener("change", () => {
    if (choice.name === "outcome") choice.form.elements.reason?.remove();
    choice.form.requestSubmit();
  });
}

show();
