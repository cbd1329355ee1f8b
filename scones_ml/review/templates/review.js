"use strict";
(() => {
  const said = document.getElementById("said");
  let busy = false;

  const show = (page, address) => {
    const before = document.activeElement;
    const kept = before && before.matches("main [id]:not(select):focus-visible") ? before.id : null;
    document.querySelector("main").replaceWith(page.querySelector("main"));
    document.title = page.title;
    history.replaceState(null, "", address);
    if (kept) document.getElementById(kept)?.focus();
    said.classList.remove("failed");
    said.textContent = document.querySelector("main").dataset.said;
  };

  document.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return;
    busy = true;
    const form = event.target;
    try {
      const body = new URLSearchParams(new FormData(form, event.submitter));
      const answer = await fetch(form.action, {method: "POST", body});
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!page.querySelector("main")) throw new Error();
      show(page, answer.redirected ? answer.url : location.href);
    } catch {
      said.classList.add("failed");
      said.textContent = "No answer from scones review: this last step may not be saved. " +
        "Start it again and open the address it prints; everything before is safe.";
    }
    busy = false;
  });

  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    const focused = event.target.closest("button, a, select, summary");
    if (focused?.matches("select")) {
      if (event.key === "Enter") { event.preventDefault(); focused.form.requestSubmit(); }
      return;
    }
    if (focused && event.key === " ") return;
    for (const element of document.querySelectorAll("main [data-key]")) {
      if (element.dataset.key !== event.key.toLowerCase()) continue;
      event.preventDefault();
      if (element.matches("select")) element.focus();
      else element.click();
      return;
    }
  });
})();
