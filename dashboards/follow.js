// A line of events leads to its moment, by a click or by Enter. The lines are drawn by the page (feed.py), which may
// draw them anew at any time: so the document listens, not the lines.
export default function ({ setTriggerValue }) {
  const follow = event => {
    if (event.type === "keydown" && event.key !== "Enter") return;
    const line = event.target.closest?.("li[data-moment]");
    if (line && !getSelection().toString()) setTriggerValue("followed", { ...line.dataset });
  };
  const kinds = ["click", "keydown"];
  for (const kind of kinds) document.addEventListener(kind, follow);
  return () => { for (const kind of kinds) document.removeEventListener(kind, follow); };
}
