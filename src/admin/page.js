
"use strict";
const here = document.body.dataset.here;
const online = document.getElementById("online");
const show = async () => {
  if (document.hidden) return;
  try {
    const response = await fetch(here, { cache: "no-store" });
    if (!response.ok) throw new Error(response.statusText);
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    document.querySelector("main").replaceWith(fresh.querySelector("main"));
    online.textContent = "live";
    online.className = "";
  } catch {
    online.textContent = "out of reach";
    online.className = "off";
  }
};
const again = async () => {
  await show();
  setTimeout(again, 2000);
};
setTimeout(again, 2000);
document.addEventListener("visibilitychange", show);

const said = document.getElementById("said");
document.getElementById("invalidate").addEventListener("submit", async event => {
  event.preventDefault();
  const name = event.submitter ? event.submitter.name : "url";
  const what = document.getElementById("what").value.trim();
  if (name === "all" && !confirm("Invalidate everything, on every node?")) return;
  const value = name === "all" ? "1" : what;
  said.textContent = "Asking all nodes ...";
  try {
    const response = await fetch(here + "invalidate?" + name + "=" + encodeURIComponent(value), { method: "POST" });
    said.textContent = await response.text();
  } catch {
    said.textContent = "The program is out of reach.";
  }
  show();
});
