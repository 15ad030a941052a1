/**
 * The stack that BPF programs need, as the verifier counts it (kernel/bpf/verifier.c,
 * check_max_stack_depth): of every chain of calls, callbacks included, the sum of the frames.
 */

/** The most that the verifier allows, in bytes. */
export const STACK_MAX = 512;

interface Frame {
  /** In bytes. */
  depth: number;
  readonly calls: Set<string>;
}

export interface Chain {
  /** In bytes. */
  readonly depth: number;
  /** Functions with their frames, outermost first. */
  readonly frames: readonly string[];
}

/** Bytes of an instruction, which calls count in. */
const INSTRUCTION = 8;

/**
 * Returns the chain that needs most stack. `disassembly` is what `llvm-objdump -d -r
 * --no-show-raw-insn` prints of an object; frames are rounded up to a multiple of `unit` bytes.
 */
export function deepestChain(disassembly: string, unit: number): Chain {
  const frames = framesOf(disassembly);
  const known = new Map<string, Chain>();
  const below = (name: string): Chain => {
    const before = known.get(name);
    if (before !== undefined) return before;
    const { depth, calls } = frames.get(name) ?? { depth: 0, calls: new Set<string>() };
    const own = Math.ceil(Math.max(depth, 1) / unit) * unit;
    const rest = deepest([...calls].filter((called) => frames.has(called)).map(below));
    const chain = { depth: own + rest.depth, frames: [`${name} ${own}`, ...rest.frames] };
    known.set(name, chain);
    return chain;
  };
  return deepest([...frames.keys()].map(below));
}

function deepest(chains: readonly Chain[]): Chain {
  return chains.reduce((most, chain) => (chain.depth > most.depth ? chain : most), {
    depth: 0,
    frames: [],
  });
}

/** Where a relocation leads: a function, or so many bytes into a section. */
interface Reference {
  readonly from: Frame;
  readonly symbol: string;
  readonly offset: number;
}

function framesOf(disassembly: string): ReadonlyMap<string, Frame> {
  const frames = new Map<string, Frame>();
  const starts = new Map<string, string>();
  const references: Reference[] = [];
  let section = "";
  let frame: Frame = { depth: 0, calls: new Set() };
  /** Registers that have the frame's address. */
  const pointers = new Set<string>();
  // Where the instruction before leads.
  let offset = 0;
  for (const line of disassembly.split("\n")) {
    section = /^Disassembly of section (.*):$/.exec(line)?.[1] ?? section;
    const [, at, name] = /^([0-9a-f]+) <(?!LBB)(.*)>:$/.exec(line) ?? [];
    if (at !== undefined && name !== undefined) {
      frame = { depth: 0, calls: new Set() };
      frames.set(name, frame);
      starts.set(`${section}+${Number.parseInt(at, 16)}`, name);
    }
    const symbol = /\bR_BPF_64_(?:32|64)\s+(\S+)/.exec(line)?.[1];
    if (symbol !== undefined) references.push({ from: frame, symbol, offset });
    const instruction = /^\s+\d+:\s+(.*)$/.exec(line)?.[1];
    if (instruction === undefined) continue;
    const [, there] = /\(r10 - (\d+)\)/.exec(instruction) ?? [];
    const [, register = "", moved] = /^(r\d) (?:= .*|\+= -(\d+))$/.exec(instruction) ?? [];
    const below = pointers.has(register) ? moved : undefined;
    frame.depth = Math.max(frame.depth, Number(there ?? below ?? 0));
    if (instruction === `${register} = r10`) pointers.add(register);
    else pointers.delete(register);
    // A call counts instructions from the next one on; an address is loaded in bytes.
    const [, called] = /^call (-?\w+)/.exec(instruction) ?? [];
    const [, loaded] = /^r\d = (-?\w+) ll$/.exec(instruction) ?? [];
    offset = called === undefined ? Number(loaded ?? 0) : (Number(called) + 1) * INSTRUCTION;
  }
  for (const { from, symbol, offset: into } of references) {
    const target = frames.has(symbol) ? symbol : starts.get(`${symbol}+${into}`);
    if (target !== undefined) from.calls.add(target);
  }
  return frames;
}
