/** Puts what happened into the log, in words. */
import type { DaemonEvent } from "../api/events.js";
import { formatProblem } from "../errors.js";
import { describeHealth, describeTurns } from "./describe-health.js";
import type { Tell } from "./events.js";
import type { Logger } from "./log.js";
import { describeChange } from "../words/change.js";

/** Returns a function that logs events. */
export function eventLog(log: Logger): Tell {
  return (event) => {
    switch (event.event) {
      case "changed":
        log.log(
          "info",
          `generation ${event.generation} is active: ${describeChange(event.mappings, event)}`,
          {
            generation: event.generation,
            changed: true,
          },
        );
        return;
      case "switched":
        log.log(
          "warning",
          event.to === "off"
            ? "switched off by a request over the socket: mappings have no effect until `ilm on`"
            : "switched on again by a request over the socket",
        );
        return;
      case "unloaded":
        log.log("info", "unloaded by a request over the socket");
        return;
      case "reload-refused":
        logRefused(log, event);
        return;
      case "restored":
        log.log("warning", `${event.what.join(", ")}: removed by another program, put back`);
        return;
      case "listeners": {
        const { event: _, ...listeners } = event;
        log.log("info", describeTurns(listeners), { listeners });
        return;
      }
      case "health": {
        const { event: _, ...health } = event;
        const { unserved, gaps, degraded } = health;
        const isWorse = unserved.count + gaps.count + degraded.count > 0;
        const level = isWorse ? "warning" : "info";
        log.log(level, describeHealth(health), { health });
        return;
      }
      case "refused":
        log.log(event.refusal.reason === "reported" ? "info" : "warning", event.message, {
          refusal: event.refusal,
        });
        return;
    }
  };
}

function logRefused(log: Logger, { error }: DaemonEvent & { event: "reload-refused" }): void {
  const { code, message, remedy, problems } = error;
  log.log("error", `${message}${remedy === null ? "" : ` - ${remedy}`}`, { code, problems });
  for (const problem of problems) log.log("error", formatProblem(problem));
}
