/** Times for people, in the host's time zone. For programs they are ISO 8601, UTC. */

const minutes = new Intl.DateTimeFormat("sv", { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("sv");

/** Formats a time of today as `14:02`, another as `2026-11-28 14:02`, in the host's time zone. */
export function formatTime(time: Date, now: Date = new Date()): string {
  const date = day.format(time);
  const clock = minutes.format(time);
  return date === day.format(now) ? clock : `${date} ${clock}`;
}

const seconds = new Intl.DateTimeFormat("sv", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});

/**
 * Formats the time of a change, which is given as ISO 8601, to the second: `14:02:09` today,
 * `2026-11-28 14:02:09` on another day, in the host's time zone.
 */
export function formatMoment(time: string, now: Date = new Date()): string {
  const at = new Date(time);
  const date = day.format(at);
  const clock = seconds.format(at);
  return date === day.format(now) ? clock : `${date} ${clock}`;
}
