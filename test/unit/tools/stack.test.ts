// Goal: the stack of BPF programs is counted as the verifier counts it.
import { expect, test } from "vitest";
import { deepestChain } from "../../../tools/stack.js";

/** As llvm-objdump prints it: a global function, a static one, and a callback. */
const disassembly = `
dist/bpf/example.bpf.o:	file format elf64-bpf

Disassembly of section .text:

0000000000000000 <inner>:
       0:	r2 = r10
       1:	r2 += -40
       2:	r1 += -400
       3:	exit

0000000000000020 <helper>:
       4:	*(u32 *)(r10 - 100) = r1
       5:	call -1
		0000000000000028:  R_BPF_64_32	inner
       6:	exit

0000000000000038 <callback>:
       7:	*(u64 *)(r10 - 200) = r1
       8:	exit

Disassembly of section sk_lookup:

0000000000000000 <program>:
       0:	r3 = r10
       1:	r3 += -8
       2:	call 3
		0000000000000010:  R_BPF_64_32	.text
       3:	r2 = 56 ll
		0000000000000018:  R_BPF_64_64	.text
       5:	call 181
       6:	exit

0000000000000038 <LBB0_2>:
       7:	exit
`;

test("callbacks are called by whoever has their address", () => {
  expect(deepestChain(disassembly, 32)).toEqual({
    depth: 256,
    frames: ["program 32", "callback 224"],
  });
});

test("a chain is the sum of its frames, each rounded up", () => {
  const shallow = disassembly.replace("r10 - 200", "r10 - 8");
  expect(deepestChain(shallow, 16)).toEqual({
    depth: 16 + 112 + 48,
    frames: ["program 16", "helper 112", "inner 48"],
  });
  expect(deepestChain(shallow, 32).depth).toBe(32 + 128 + 64);
});
