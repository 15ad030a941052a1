/** Configurations of many mappings, as a program would write them: NDJSON, one exact address each, all of port 80. */
export function manyMappings(count: number, to: (index: number) => string): string {
  const lines = Array.from({ length: count }, (_, i) => {
    const on = `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;
    return JSON.stringify({ name: `m${i}`, port: 80, on, to: to(i) });
  });
  return `${JSON.stringify({ version: 1 })}\n${lines.join("\n")}\n`;
}
