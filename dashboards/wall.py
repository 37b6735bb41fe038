"""The wall of live pictures: a small page of its own that fetches each tile by itself, so that reruns do not touch it.

Tiles are fetched as single pictures and not as MJPEG: a browser opens six connections to a host, and a wall has more
tiles than that.
"""

import json
from typing import Any

WALL = """
<style>
  :root { color-scheme: light dark; font-family: system-ui, sans-serif; }
  body { margin: 0; background: transparent; }
  #wall { display: grid; gap: 10px; grid-template-columns: repeat(3, 1fr); }
  figure { position: relative; margin: 0; aspect-ratio: 16/9; background: #10151c; border-radius: 8px; overflow: hidden; }
  img { width: 100%; height: 100%; object-fit: contain; display: block; }
  figcaption { position: absolute; inset: auto 0 0 0; padding: 14px 10px 6px; color: #fff; font-size: 13px; display: flex;
    justify-content: space-between; background: linear-gradient(transparent, rgba(0,0,0,.8)); }
  .age { font-variant-numeric: tabular-nums; opacity: .9; }
  .flag { position: absolute; inset: 0; display: none; place-items: center; color: #fff; font-weight: 700;
    letter-spacing: .04em; background: rgba(120, 20, 20, .55); text-shadow: 0 1px 3px #000; }
  .stale img { filter: grayscale(1) brightness(.6); } .stale .flag, .empty .flag { display: grid; }
  .empty .flag { background: transparent; font-weight: 500; color: #9fb0c3; }
  .stale { outline: 3px solid #d64545; outline-offset: -3px; }
</style>
<div id="wall" role="list"></div>
<script>
const tiles = __TILES__, words = __WORDS__, STALE_S = 5, EVERY_MS = 700;
const wall = document.getElementById("wall");
for (const tile of tiles) {
  const figure = document.createElement("figure");
  figure.className = "empty"; figure.setAttribute("role", "listitem"); figure.dataset.camera = tile.id;
  const img = document.createElement("img"); img.alt = tile.name;
  const flag = document.createElement("div"); flag.className = "flag"; flag.textContent = words.none;
  const caption = document.createElement("figcaption");
  const name = document.createElement("span"); name.textContent = tile.name;
  const age = document.createElement("span"); age.className = "age";
  caption.append(name, age); figure.append(img, flag, caption); wall.append(figure);
  let captured = null, address = null;
  const show = () => {
    if (captured === null) return;
    const seconds = Math.max(0, Date.now() / 1000 - captured), stale = seconds > STALE_S;
    age.textContent = seconds < 10 ? seconds.toFixed(1) + " s" : Math.round(seconds) + " s";
    figure.className = stale ? "stale" : ""; flag.textContent = stale ? words.old : words.none;
  };
  const fetchTile = async () => {
    if (!document.hidden) {
      try {
        const answer = await fetch(tile.address, {cache: "no-store"});
        if (answer.ok) {
          const next = URL.createObjectURL(await answer.blob());
          // the server's age, not its clock: the viewer's clock may be wrong
          captured = Date.now() / 1000 - parseFloat(answer.headers.get("X-Hoaban-Age") || "0");
          img.onload = () => { if (address) URL.revokeObjectURL(address); address = next; };
          img.src = next;
        }
      } catch (error) { /* the age on the tile goes on growing, which is the message */ }
    }
    show(); setTimeout(fetchTile, EVERY_MS);
  };
  fetchTile(); setInterval(show, 500);
}
</script>
"""


def page(tiles: list[dict[str, Any]], words: dict[str, str]) -> str:
    """The wall as HTML. tiles: {id, name, address} each. words: {none, old}."""
    # "</" inside a script would end it: a camera's name is text from a file.
    return WALL.replace("__TILES__", _script(tiles)).replace("__WORDS__", _script(words))


def _script(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("</", "<\\/")


def height(count: int) -> int:
    """Pixels that so many tiles take in three columns of the main area."""
    return max(1, -(-count // 3)) * 245
