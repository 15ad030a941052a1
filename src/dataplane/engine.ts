/** Which engine finds the listeners: what the rules ask for, and what this host has. */
import { IlmError } from "../errors.js";
import { moduleLoaded } from "../kernel/features.js";
import type { Rules } from "../model/mapping.js";
import type { EngineInForce } from "./types.js";

/** Throws NO_BPF when the kfunc is asked for and is not there. */
export function chooseEngine(rules: Rules): EngineInForce {
  const wanted = rules.file.engine ?? "auto";
  if (wanted === "registry") return "registry";
  if (moduleLoaded()) return "kfunc";
  if (wanted === "auto") return "registry";
  throw new IlmError(
    "NO_BPF",
    "`engine: kfunc` needs the kernel module ilm_lookup, and it is not loaded",
    {
      remedy:
        "Load it (modprobe ilm_lookup; see kmod/README.md), or leave the choice to ilm: engine: auto",
    },
  );
}
