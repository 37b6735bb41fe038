// A line of events leads to its moment, by a click or by Enter. The lines are drawn by the page (feed.py), which may
// draw them anew at any time: so the document listens, once, however often this is called.
export default function ({ setTriggerValue }) {
  const listens = "hoabanFollow" in window;
  window.hoabanFollow = setTriggerValue;
  if (listens) return;
  for (const kind of ["click", "keydown"]) {
    document.addEventListener(kind, event => {
      if (kind === "keydown" && event.key !== "Enter") return;
      const line = event.target.closest?.("li[data-moment]");
      if (line && !getSelection().toString()) window.hoabanFollow("followed", { ...line.dataset });
    });
  }
}
