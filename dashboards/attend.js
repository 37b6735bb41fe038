// What a person asked for at their screens: colours, a sound and a notice for new incidents.
const HEARD = "hoaban-incident-heard";
let asking = false;

function colours(theme) {
  // Streamlit keeps its choice of colours by the path at which it was loaded, and reads it when it loads.
  const key = `stActiveTheme-${location.pathname}-v2`, wanted = { light: '"Light"', dark: '"Dark"' }[theme];
  if (wanted && localStorage.getItem(key) !== wanted) {
    localStorage.setItem(key, wanted);
    location.reload();
  } else if (!wanted && localStorage.getItem("hoaban-theme")) {
    localStorage.removeItem(key);
    localStorage.removeItem("hoaban-theme");
    location.reload();
  }
  if (wanted) localStorage.setItem("hoaban-theme", theme);
}

function beep() {
  const context = new AudioContext(), now = context.currentTime;
  [880, 660].forEach((pitch, index) => {
    const tone = context.createOscillator(), volume = context.createGain(), at = now + index * 0.22;
    tone.frequency.value = pitch;
    volume.gain.setValueAtTime(0.0001, at);
    volume.gain.exponentialRampToValueAtTime(0.25, at + 0.02);
    volume.gain.exponentialRampToValueAtTime(0.0001, at + 0.2);
    tone.connect(volume).connect(context.destination);
    tone.start(at);
    tone.stop(at + 0.21);
  });
  setTimeout(() => context.close(), 1000);
}

// A browser lets a page be heard only once somebody has clicked on it or pressed a key: until then the page says so.
function silent(wanted, said) {
  const told = document.getElementById("hoaban-silent"), silent = wanted && !navigator.userActivation?.hasBeenActive;
  if (!silent) told?.remove();
  if (!silent || told) return;
  const note = document.createElement("div");
  note.id = "hoaban-silent";
  note.setAttribute("role", "status");
  note.textContent = "🔇 " + said;
  note.style.cssText = "position:fixed;right:16px;bottom:16px;z-index:1000;padding:8px 14px;border-radius:8px;"
    + "background:#5c3b00;color:#fff;font:14px/1.4 sans-serif;box-shadow:0 2px 10px rgba(0,0,0,.35)";
  document.body.append(note);
  for (const kind of ["pointerup", "keyup"]) document.addEventListener(kind, () => note.remove(), { once: true });
}

export default function ({ data }) {
  colours(data.theme);
  silent(data.sounds, data.words.click);
  if (data.notices && !asking && "Notification" in window && Notification.permission === "default") {
    asking = true;
    document.addEventListener("pointerdown", () => Notification.requestPermission(), { once: true });
  }
  if (data.alarms === null) return;  // nothing is listened for, or the API is away
  const newest = Math.max(0, ...data.alarms.map(one => one.number));
  const heard = sessionStorage.getItem(HEARD);
  sessionStorage.setItem(HEARD, Math.max(newest, Number(heard) || 0));
  if (heard === null) return;  // what was open already when the page came up is on it
  const fresh = data.alarms.filter(one => one.number > Number(heard));
  if (fresh.some(one => one.sound)) beep();
  if ("Notification" in window && Notification.permission === "granted") {
    for (const one of fresh.filter(one => one.notice).slice(0, 3)) {
      new Notification(one.title, { body: one.body, tag: `hoaban-${one.number}` });
    }
  }
}
