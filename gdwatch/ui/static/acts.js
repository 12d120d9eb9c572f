// Acts: every change goes to the server with this page's token, and says what came of it.

const csrf = document.querySelector('meta[name="csrf"]').content;

export async function act(path, given = {}) {
  const response = await fetch(path, {
    method: "POST",
    headers: {"Content-Type": "application/json", "Accept": "application/json", "X-CSRF-Token": csrf},
    body: JSON.stringify(given),
  });
  const text = await response.text();
  if (response.ok) return JSON.parse(text);
  let said = text.trim();
  try {
    const {error, hint} = JSON.parse(text);
    said = hint ? `${error}; ${hint}` : error;
  } catch { /* a plain sentence */ }
  throw Object.assign(new Error(said), {status: response.status});
}

async function run(element, given) {
  const place = element.querySelector('[role="status"]') ?? element;
  try {
    const answer = await act(element.dataset.act, given);
    if (answer.next) location.assign(answer.next);
    else place.textContent = answer.said;
  } catch (error) {
    place.textContent = error.message;
  }
}

for (const form of document.querySelectorAll("form[data-act]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run(form, Object.fromEntries(new FormData(form)));
  });
}
for (const button of document.querySelectorAll("button[data-act]")) {
  button.addEventListener("click", () => {
    button.disabled = true;
    run(button, {});
  });
}
