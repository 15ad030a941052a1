/**
 * Chooses the engine that finds the listeners: from what the rules ask for and what this host has.
 */
import { IlmError } from "../../errors.js";
import { moduleState } from "../../kernel/features.js";
import type { ActiveRules } from "../../model/rules.js";
import type { ActiveEngine } from "../types.js";

export interface EngineChoice {
  readonly engine: ActiveEngine;
  /** Why `engine: auto` does without the kfunc although the module is loaded; otherwise null. */
  readonly kfuncTrouble: string | null;
}

const registry: EngineChoice = { engine: "registry", kfuncTrouble: null };
const KFUNC = "bpf_sk_lookup_assign_listener";

/**
 * Chooses the engine. Throws NO_BPF when the rules ask for the kfunc and it is missing or unusable.
 */
export function chooseEngine(rules: ActiveRules): EngineChoice {
  const wanted = rules.file.head.engine ?? "auto";
  const state = moduleState();
  if (wanted === "registry") return registry;
  if (state === "loaded") return { engine: "kfunc", kfuncTrouble: null };
  if (state === "without-btf") {
    const trouble = "it was built without BTF, so that no program can find its function";
    if (wanted === "auto") return { ...registry, kfuncTrouble: trouble };
    throw unusable(trouble);
  }
  if (wanted === "auto") return registry;
  throw new IlmError(
    "NO_BPF",
    "`engine: kfunc` needs the kernel module ilm_lookup, and it is not loaded",
    {
      remedy: "Load it (modprobe ilm_lookup; see kmod/README.md), or set engine: auto",
    },
  );
}

/**
 * Decides what to do when the program that calls the module could not be loaded: an older module's
 * function has another signature, or the module was unloaded meanwhile. Throws where there is no
 * choice.
 */
export function withoutKfunc(
  rules: ActiveRules,
  { engine }: EngineChoice,
  error: unknown,
): EngineChoice {
  if (engine !== "kfunc" || !(error instanceof IlmError)) throw error;
  // Quote the line of libbpf's message that names the function, or else the verifier's last word.
  const lines = error.remedy?.split("\n") ?? [];
  const end = lines.findIndex((line) => /^\s*processed \d+ insns/.test(line));
  const said = lines.find((line) => line.includes(KFUNC)) ?? lines[end - 1];
  const trouble = `${error.message}${said === undefined ? "" : ` (${said.trim()})`}`;
  if ((rules.file.head.engine ?? "auto") === "auto") return { ...registry, kfuncTrouble: trouble };
  throw unusable(trouble, error);
}

function unusable(trouble: string, cause?: IlmError): IlmError {
  return new IlmError(
    "NO_BPF",
    `\`engine: kfunc\`: the kernel module ilm_lookup is loaded but cannot be used: ${trouble}`,
    {
      cause,
      remedy:
        "Build the module of this version of ilm for this kernel (see kmod/README.md) and load it, or set engine: auto",
    },
  );
}
