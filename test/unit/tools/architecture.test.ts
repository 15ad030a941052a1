// Goal: a file that ARCHITECTURE.md names and that has gone is found, wherever it stands there, and
// nothing else is taken for a file.
import { expect, test } from "vitest";
import { findNamedFiles, isThere } from "../../../tools/architecture.js";

const document = `# Architecture

\`\`\`
diagrams/are/not/read.ts
\`\`\`

\`cli/commands/apply.ts\` asks \`install/plan.ts\`, and \`iter/tcp\` runs \`bpf/track.h\`.
\`sendmsg4/6\`, \`file.read()\`, \`/proc\` and \`model\` are no files.

## Map

| where | what |
|---|---|
| \`bpf/\` | \`abi.h\` declares |
| \`src/rules/\` | (\`order.ts\`), \`gone.ts\` |

## Deliberately absent

- A dumped \`vmlinux.h\`
`;
const files = [
  "bpf/abi.h",
  "bpf/track.h",
  "src/cli/commands/apply.ts",
  "src/dataplane/install/plan.ts",
  "src/rules/order.ts",
  "src/compile/gone.ts",
];

test("files and folders are found with their lines, and with the folder of their row", () => {
  expect(findNamedFiles(document).map(({ name, line, row }) => [name, line, row])).toEqual([
    ["cli/commands/apply.ts", 7, null],
    ["install/plan.ts", 7, null],
    ["bpf/track.h", 7, null],
    ["bpf/", 14, "bpf/"],
    ["abi.h", 14, "bpf/"],
    ["src/rules/", 15, "src/rules/"],
    ["order.ts", 15, "src/rules/"],
    ["gone.ts", 15, "src/rules/"],
  ]);
});

test("a file is there when its path is whole, and not when another folder has one of its name", () => {
  const missing = findNamedFiles(document).filter((one) => !isThere(one, files));
  expect(missing.map(({ name }) => name)).toEqual(["gone.ts"]);
  const without = files.filter((file) => !file.startsWith("bpf/"));
  const more = findNamedFiles(document).filter((one) => !isThere(one, without));
  expect(more.map(({ name }) => name)).toEqual(["bpf/track.h", "bpf/", "abi.h", "gone.ts"]);
});
