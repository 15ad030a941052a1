/** Real UDP daemons and clients, unchanged: names, time, files, and HTTP/3. */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { addressesOf, endpoint, families, type Family } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { type Background, eventually, must, words } from "../support/process.js";
import type { Status } from "../support/shapes.js";

const network = useNetwork();

const own = {
  unbound: { 4: "127.0.1.53", 6: "fd5e:ed00::53" },
  knot: { 4: "127.0.1.54", 6: "fd5e:ed00::54" },
  bind: { 4: "127.0.1.55", 6: "fd5e:ed00::55" },
  time: { 4: "127.0.1.123", 6: "fd5e:ed00::123" },
  files: { 4: "127.0.1.69", 6: "fd5e:ed00::69" },
  quic: { 4: "127.0.1.44", 6: "fd5e:ed00::44" },
} as const;

const rules = `
version: 1
services:
${Object.entries(own)
  .map(([name, { 4: ip4, 6: ip6 }]) => `  ${name}: { address: [${ip4}, "${ip6}"] }\n`)
  .join("")}
mappings:
  - { protocol: udp, port: 53, to: "unbound:5353" }
  - { protocol: udp, port: 54, to: knot }
  - { protocol: [tcp, udp], port: 55, to: "bind:53" }
  - { protocol: udp, port: 123, to: time }
  - { name: time-remap, protocol: udp, port: 1123, to: "time:123" }
  - { protocol: udp, port: 69, to: files }
  - { name: files-remap, protocol: udp, port: 1069, to: "files:69" }
  - { name: quic, protocol: udp, port: [443, 8443-8449], to: "quic:4433" }
  - { name: quic-same, protocol: udp, port: 4433, to: quic }
`;

beforeAll(async () => {
  await network.server.apply(rules);
});

const configurations = {
  unbound: (folder: string): string => {
    const long = "x".repeat(250);
    return `server:
  interface: ${own.unbound[4]}@5353
  interface: ${own.unbound[6]}@5353
  do-daemonize: no
  chroot: ""
  username: ""
  directory: "${folder}"
  pidfile: ""
  use-syslog: no
  max-udp-size: 4096
  edns-buffer-size: 4096
  access-control: 0.0.0.0/0 allow
  access-control: ::/0 allow
  local-zone: "test." static
  local-data: 'small.test. TXT "small"'
  local-data: 'large.test. TXT ${`"${long}" `.repeat(10)}'
remote-control:
  control-enable: no
`;
  },
  knot: (folder: string): string => `server:
  rundir: "${folder}"
  listen: [ "${own.knot[4]}@54", "${own.knot[6]}@54" ]
database:
  storage: "${folder}"
template:
  - id: default
    storage: "${folder}"
    zonefile-sync: -1
    journal-content: none
zone:
  - domain: test
    file: test.zone
`,
  bind: (folder: string): string => `options {
  directory "${folder}";
  pid-file none;
  session-keyfile "${folder}/session.key";
  listen-on port 53 { ${own.bind[4]}; };
  listen-on-v6 port 53 { ${own.bind[6]}; };
  recursion no;
  dnssec-validation no;
};
controls {};
zone "test" { type primary; file "test.zone"; };
`,
  chrony: (folder: string): string => `port 123
bindaddress ${own.time[4]}
bindaddress ${own.time[6]}
allow all
local stratum 3
cmdport 0
bindcmdaddress /
pidfile ${folder}/chrony.pid
`,
};

async function listens(service: keyof typeof own, port: number): Promise<void> {
  for (const family of families) {
    await network.server.waitForListener("udp", own[service][family], port);
  }
}

describe("names", () => {
  beforeAll(async () => {
    const { server } = network;
    const { folder } = server;
    server.start([
      "unbound",
      "-d",
      "-c",
      server.file(configurations.unbound(folder), "unbound.conf"),
    ]);
    server.file(
      "@ 60 SOA ns admin 1 60 60 60 60\n@ NS ns\nns A 192.0.2.1\nwww A 192.0.2.8\n",
      "test.zone",
    );
    server.start(["knotd", "-c", server.file(configurations.knot(folder), "knot.conf")]);
    server.start([
      "named",
      "-f",
      "-n",
      "1",
      "-c",
      server.file(configurations.bind(folder), "named.conf"),
    ]);
    await listens("unbound", 5353);
    await listens("knot", 54);
    await listens("bind", 53);
  });

  test.each(families)(
    "IPv%d: unbound answers through a port remap, in one packet and in fragments",
    async (family) => {
      for (const dialled of [addressesOf[family].public, addressesOf[family].second]) {
        for (const [name, size] of [
          ["small.test", 50],
          ["large.test", 2500],
        ] as const) {
          const answer = await network.client.must(
            words(`dig +time=3 +tries=2 +ignore +bufsize=4096 @${dialled} ${name} TXT`),
          );
          expect(answer).toContain("ANSWER: 1");
          expect(answer).toContain(`SERVER: ${dialled}#53(${dialled}) (UDP)`);
          expect(answer).not.toContain("unexpected source");
          expect(Number(/MSG SIZE\s+rcvd: (\d+)/.exec(answer)?.[1])).toBeGreaterThan(size);
        }
      }
    },
  );

  test.each(families)(
    "IPv%d: knot, which takes and sends many datagrams per call, answers kdig",
    async (family) => {
      for (const dialled of [addressesOf[family].public, addressesOf[family].second]) {
        const answer = await network.client.must(
          words(`kdig +notcp +time=3 +retry=2 -p 54 @${dialled} www.test A`),
        );
        expect(answer).toContain("192.0.2.8");
        expect(answer).toContain(`From ${dialled}@54(UDP)`);
      }
    },
  );
});

describe("BIND, which listens only where an interface has the address", () => {
  for (const family of families) {
    for (const transport of ["notcp", "tcp"] as const) {
      test(`answers dig over IPv${family}, ${transport === "tcp" ? "TCP" : "UDP"}`, async () => {
        const { public: dialled } = addressesOf[family];
        const answer = await network.client.must(
          words(`dig +time=3 +tries=2 +${transport} -p 55 @${dialled} www.test A`),
        );
        expect(answer).toContain("192.0.2.8");
        expect(answer).not.toContain("unexpected source");
      });
    }
  }
});

describe("time", () => {
  beforeAll(async () => {
    const { server } = network;
    const file = server.file(configurations.chrony(server.folder), "chrony.conf");
    server.start([...words("chronyd -x -d -u root -f"), file]);
    await listens("time", 123);
  });

  test.each(families)("IPv%d: ntpdig takes chronyd's answer", async (family) => {
    for (const dialled of [addressesOf[family].public, addressesOf[family].second]) {
      expect(await network.client.must(["ntpdig", "-t", "5", dialled])).toContain(
        `${dialled} s3 no-leap`,
      );
    }
  });

  test.each(families)(
    "IPv%d: chronyd as a client, which is strict, takes it through a port remap",
    async (family) => {
      const { client } = network;
      const result = await client.run([
        ...words("chronyd -Q -t 10 -u root"),
        `server ${addressesOf[family].second} port 1123 iburst maxsamples 1`,
        `pidfile ${client.folder}/chrony.pid`,
        "cmdport 0",
      ]);
      expect(result.stderr + result.stdout).toContain("System clock wrong by");
      expect(result.status).toBe(0);
    },
  );
});

describe("files", () => {
  const content = randomBytes(100_000);

  // tftpd-hpa answers from a new socket that is bound to the address which packet information says
  // was dialled.
  test.each(families)(
    "IPv%d: curl gets a file from tftpd, on the same port and through a remap",
    async (family) => {
      const { server, client } = network;
      const folder = join(server.folder, "tftp");
      mkdirSync(folder, { recursive: true, mode: 0o755 });
      writeFileSync(join(folder, "file"), content);
      const daemon = server.start([
        ...words(`in.tftpd -L -${family} -u root -a ${endpoint(own.files[family], 69)} -s`),
        folder,
      ]);
      await server.waitForListener("udp", own.files[family], 69);
      const { public: first, second } = addressesOf[family];
      for (const dialled of [endpoint(first, 69), endpoint(second, 69), endpoint(second, 1069)]) {
        const got = join(client.folder, "file");
        await client.must([...words("curl -g -sS -m 20 -o"), got, `tftp://${dialled}/file`]);
        expect(readFileSync(got).equals(content)).toBe(true);
      }
      await daemon.stop();
    },
  );
});

describe("HTTP/3", () => {
  const size = 60_000_000;
  const content = randomBytes(size);
  let files: string;

  beforeAll(async () => {
    const { server } = network;
    const key = join(server.folder, "key.pem");
    const certificate = join(server.folder, "certificate.pem");
    await must([
      ...words("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"),
      ...words(`-subj /CN=server.test -keyout ${key} -out ${certificate}`),
    ]);
    files = join(server.folder, "htdocs");
    mkdirSync(files);
    writeFileSync(join(files, "large"), content);
    writeFileSync(join(files, "small"), "small");
    for (const family of families) {
      server.start([
        ...words(`gtlsserver -q -d ${files} ${own.quic[family]} 4433`),
        key,
        certificate,
      ]);
    }
    await listens("quic", 4433);
  });

  function download(family: Family, dialled: string, port: number, name: string) {
    const { client } = network;
    const folder = join(client.folder, `${family}-${port}-${dialled.replaceAll(/[.:]/g, "_")}`);
    mkdirSync(folder, { recursive: true });
    const process = client.start([
      ...words(`gtlsclient -q --exit-on-all-streams-close --download=${folder}`),
      ...words(`${dialled} ${port} https://${endpoint(dialled, port)}/${name}`),
    ]);
    return { process, file: join(folder, name) };
  }

  test.each(families)("IPv%d: a connection to each dialled address and port", async (family) => {
    const { public: first, second } = addressesOf[family];
    for (const [dialled, port] of [
      [first, 443],
      [second, 443],
      [second, 8445],
      [second, 4433],
    ] as const) {
      const { process, file } = download(family, dialled, port, "small");
      const { status, stderr } = await process.exited;
      expect(status, stderr).toBe(0);
      expect(readFileSync(file, "utf8")).toBe("small");
    }
  });

  test("connections over several dialled addresses outlive a reload in their middle", async () => {
    const { server } = network;
    const sizeOf = (file: string): number => (existsSync(file) ? statSync(file).size : 0);
    const before = await server.status();
    const downloads: { process: Background; file: string }[] = families.flatMap((family) => {
      const { public: first, second } = addressesOf[family];
      return [download(family, first, 443, "large"), download(family, second, 8446, "large")];
    });
    await eventually("every download has begun", () =>
      downloads.every(({ file }) => sizeOf(file) > 0) ? true : null,
    );
    // Again and again, until the first download is done.
    let reloads = 0;
    for (; downloads.every(({ file }) => sizeOf(file) < size); reloads++) {
      await server.apply(
        `${rules}  - { name: more, protocol: udp, port: ${9000 + reloads}, to: time }\n`,
      );
    }
    expect(reloads).toBeGreaterThan(0);
    expect(server.generation()).toBe((before.generation ?? 0) + reloads);
    for (const { process, file } of downloads) {
      const { status, stderr } = await process.exited;
      expect(status, stderr).toBe(0);
      expect(readFileSync(file).equals(content)).toBe(true);
    }
    const after = (await server.status()) as Status & { faults: unknown };
    expect(after.faults).toEqual({
      untracked: 0,
      unplaced: 0,
      flows: 0,
      unanswered: 0,
      unsteered: 0,
    });
  });
});
