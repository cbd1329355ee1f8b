"use strict";
(() => {
  const points = JSON.parse(document.getElementById("points").textContent);
  const images = points[points.length - 1].accepted;
  const slider = document.getElementById("slider");
  const chosen = Number(slider.value);
  const marker = document.getElementById("marker");
  const lines = document.querySelectorAll("line.threshold");
  const show = (id, text) => { document.getElementById(id).textContent = text; };
  const percent = (share) => (100 * share).toFixed(1) + "\u00a0%";

  const move = () => {
    const point = points[Number(slider.value)];
    show("at-threshold", point.threshold.toFixed(3));
    show("at-passes", percent(point.accepted / images));
    show("at-passes-count", point.accepted + " of " + images);
    show("at-right", percent(point.correct / point.accepted));
    show("at-right-interval", (100 * point.low).toFixed(1) + " to " + (100 * point.high).toFixed(1));
    show("at-people", String(images - point.accepted));
    slider.setAttribute("aria-valuetext", "threshold " + point.threshold.toFixed(3) + ", " +
      percent(point.accepted / images) + " let through, " + percent(point.correct / point.accepted) + " right");
    marker.setAttribute("cx", point.x);
    marker.setAttribute("cy", point.y);
    for (const line of lines) {
      const d = line.dataset;
      const share = (point.threshold - d.low) / (d.high - d.low);
      const place = (Number(d.start) + share * (d.end - d.start)).toFixed(1);
      line.setAttribute(d.axis + "1", place);
      line.setAttribute(d.axis + "2", place);
      line.classList.remove("hidden");
    }
  };

  slider.addEventListener("input", move);
  document.getElementById("reset").addEventListener("click", () => {
    slider.value = chosen;
    move();
    slider.focus();
  });
  document.getElementById("controls").hidden = false;
})();
