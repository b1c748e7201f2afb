"use strict";
(function () {
  const form = document.getElementById("filters");
  const find = document.getElementById("find");
  const shown = document.getElementById("shown");
  const nothing = document.getElementById("nothing");
  const boxes = Array.from(form.querySelectorAll("input[name=status]"));
  const cases = Array.from(document.querySelectorAll(".case"));

  function apply() {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    let count = 0;
    for (const one of cases) {
      const fits = words.every((word) => one.dataset.find.includes(word));
      one.hidden = !(wanted.has(one.dataset.status) ? fits : false);
      count += one.hidden ? 0 : 1;
    }
    shown.textContent = count + " of " + cases.length + " shown";
    nothing.hidden = count !== 0;
  }

  form.classList.add("ready");
  form.addEventListener("input", apply);
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target) {
    target.open = true;
    target.scrollIntoView();
  }
  apply();
})();
