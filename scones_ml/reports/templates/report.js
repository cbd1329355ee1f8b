"use strict";
(() => {
  const points = JSON.parse(document.getElementById("points").textContent);
  const slider = document.getElementById("slider");
  const chosen = Number(slider.value);
  const marker = document.getElementById("marker");
  const lines = document.querySelectorAll("line.threshold");
  const show = (id, text) => { document.getElementById(id).textContent = text; };
  const percent = (share) => (100 * share).toFixed(1) + "\u00a0%";

  const move = () => {
    const point = points[Number(slider.value)];
    const threshold = point.threshold === null ? "none" : String(Number(point.threshold.toPrecision(4)));
    const passes = point.accepted ? percent(point.accepted / point.images) : "none";
    const right = point.accepted ? percent(point.correct / point.accepted) : "\u2013";
    show("at-threshold", threshold);
    show("at-passes", passes);
    show("at-passes-count", point.accepted + " of " + point.images);
    show("at-right", right);
    show("at-right-interval", point.accepted
      ? (100 * point.low).toFixed(1) + " to " + (100 * point.high).toFixed(1) : "nothing is accepted");
    show("at-people", String(point.images - point.accepted));
    slider.setAttribute("aria-valuetext", "threshold " + threshold + ", " + passes + " accepted" +
      (point.accepted ? ", " + right + " right" : ""));
    marker.classList.toggle("hidden", point.x === null);
    if (point.x !== null) {
      marker.setAttribute("cx", point.x);
      marker.setAttribute("cy", point.y);
    }
    for (const line of lines) {
      line.classList.toggle("hidden", point.threshold === null);
      if (point.threshold === null) continue;
      const d = line.dataset;
      const share = (point.threshold - d.low) / (d.high - d.low);
      const place = (Number(d.start) + share * (d.end - d.start)).toFixed(1);
      line.setAttribute(d.axis + "1", place);
      line.setAttribute(d.axis + "2", place);
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
