"use strict";
// The page works without this script: it only follows the progress of a task.
for (const place of document.querySelectorAll("[data-state]")) {
  const bar = place.querySelector("progress");
  const words = place.querySelector("[data-text]");
  let failed = 0;
  const look = async () => {
    try {
      const answer = await fetch(place.dataset.state, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.status);
      const state = await answer.json();
      failed = 0;
      if (!state.running) {
        location.reload();
        return;
      }
      if (words.textContent !== state.text) words.textContent = state.text;
      if (state.share === null) bar.removeAttribute("value");
      else bar.value = state.share;
    } catch {
      failed += 1;
      if (failed > 5) {
        words.textContent = "The program in the terminal does not answer any more.";
        return;
      }
    }
    setTimeout(look, 700);
  };
  setTimeout(look, 300);
}
