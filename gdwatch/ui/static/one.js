// One photograph: the explanation is made when somebody asks for it.

import "./acts.js";

const button = document.querySelector("[data-explanation]");
const say = (text) => { document.getElementById("explaining").textContent = text; };

button?.addEventListener("click", async () => {
  button.disabled = true;
  say("The model looks again. This takes some seconds.");
  const response = await fetch(button.dataset.explanation, {headers: {"Accept": "application/json"}});
  if (response.ok) {
    await response.arrayBuffer();  // the browser has it now, and shows the same
    const figure = document.getElementById("explanation");
    figure.querySelector("img").src = button.dataset.explanation;
    figure.hidden = false;
    say("");
    figure.scrollIntoView({block: "nearest"});
    return;
  }
  const {error, hint} = await response.json().catch(() => ({error: "It could not be explained"}));
  say(hint ? `${error}; ${hint}.` : `${error}.`);
  button.disabled = false;
});
