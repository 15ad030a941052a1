/** What a change met, in words, for commands and the daemon's log. */

/** Says that an earlier version's state was taken over. `format` is its state format. */
export function describeTakenOver(format: number): string {
  return `the rules of an earlier version of ilm (state format ${format}) were taken over, with their mappings added at run time, counters and UDP flows`;
}

/** Says what was lost. `why` explains why the previous state could not be read. */
export function describeLost(why: string): string {
  return `any mappings added at run time and any counters are lost: ${why}`;
}

export function describeMissingInterface(name: string): string {
  return `there is no interface ${name} now: the mappings that name it match nothing until it appears (\`ilm run\` notices automatically)`;
}

export function describeKfuncTrouble(trouble: string): string {
  return `the kernel module ilm_lookup is loaded but cannot be used, so the registry finds the listeners: ${trouble}`;
}
