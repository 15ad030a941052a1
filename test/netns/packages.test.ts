// Goal: whatever a package does when it is installed, the host runs, enables and filters afterwards
// what it did before.
//
// The packages are tiny ones that do what debhelper's maintainer scripts do, and worse. They are
// installed over the machine's own /etc, /usr and /var, in a mount namespace where these are
// overlays: nothing of it reaches the machine.
import { chmod, mkdir, mkdtemp, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { Background, must, run } from "../support/process.js";

const installer = resolve("tools/install-packages.sh");
const policy = "/usr/sbin/policy-rc.d";
let folder = "";
let host: Background;

/** Runs a shell script on the overlays. */
const onHost = (script: string) => [
  "nsenter",
  `--mount=/proc/${host.pid}/ns/mnt`,
  "sh",
  "-c",
  script,
];
const sh = async (script: string): Promise<string> =>
  await must(onHost(script), { timeout_ms: 120_000 });

/**
 * A package with a service, a socket, a timer and an init script, which say in /var/trace what they
 * are told.
 */
async function buildPackage(name: string, version: string, postinst: string): Promise<string> {
  const root = join(folder, `${name}-${version}`);
  const put = async (path: string, text: string, mode = 0o644): Promise<void> => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
    await chmod(join(root, path), mode);
  };
  await put(
    "DEBIAN/control",
    `Package: ${name}\nVersion: ${version}\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: ${name}\n`,
  );
  await put("DEBIAN/postinst", `#!/bin/sh\nset -e\n${postinst}`, 0o755);
  const units = "usr/lib/systemd/system";
  await put(
    `${units}/${name}.service`,
    `[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\nAlias=${name}-alias.service\n`,
  );
  await put(
    `${units}/${name}.socket`,
    "[Socket]\nListenStream=1\n[Install]\nWantedBy=sockets.target\n",
  );
  await put(`${units}/${name}.timer`, "[Timer]\nOnBootSec=1\n[Install]\nWantedBy=timers.target\n");
  await put(
    `etc/init.d/${name}`,
    `#!/bin/sh
### BEGIN INIT INFO
# Provides:          ${name}
# Required-Start:
# Required-Stop:
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: ${name}
### END INIT INFO
echo "${name} $1" >>/var/trace
`,
    0o755,
  );
  await must(["dpkg-deb", "--root-owner-group", "--build", root, `${root}.deb`]);
  return `${root}.deb`;
}

/** What debhelper writes for a package with a service, a socket and a timer. */
const likeDebhelper = (name: string) => `
for unit in ${name}.service ${name}.socket ${name}.timer; do
  deb-systemd-helper unmask $unit >/dev/null || true
  if deb-systemd-helper --quiet was-enabled $unit; then
    deb-systemd-helper enable $unit >/dev/null || true
  else
    deb-systemd-helper update-state $unit >/dev/null || true
  fi
done
update-rc.d ${name} defaults >/dev/null
if [ -d /run/systemd/system ]; then
  systemctl --system daemon-reload >/dev/null || true
  deb-systemd-invoke start ${name}.service ${name}.socket ${name}.timer
else
  invoke-rc.d --skip-systemd-native ${name} start
fi
`;

let ours = "";
let oursLater = "";
let rude = "";
let stuck = "";
const theirs: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ilm-packages-"));
  ours = await buildPackage("ilm-test-ours", "1", likeDebhelper("ilm-test-ours"));
  oursLater = await buildPackage("ilm-test-ours", "2", likeDebhelper("ilm-test-ours"));
  for (const version of ["1", "2"]) {
    theirs.push(await buildPackage("ilm-test-theirs", version, likeDebhelper("ilm-test-theirs")));
  }
  rude = await buildPackage(
    "ilm-test-rude",
    "1",
    `systemctl start ilm-test-rude.service
ip link add ilm-rude type veth peer name ilm-rude2
ip -o link >/var/rude-links
setsid sleep 1000042 </dev/null >/dev/null 2>&1 &
`,
  );
  stuck = await buildPackage(
    "ilm-test-stuck",
    "1",
    `${likeDebhelper("ilm-test-stuck")}\necho reached >/var/stuck\nexec sleep infinity\n`,
  );
});
afterAll(() => rm(folder, { recursive: true }));

beforeEach(async () => {
  host = new Background([
    "unshare",
    "--mount",
    "--propagation=private",
    "sh",
    "-ec",
    `mount -t tmpfs tmpfs /run
for part in etc usr var; do
  mkdir -p /run/overlay/$part/upper /run/overlay/$part/work
  mount -t overlay overlay -o lowerdir=/$part,upperdir=/run/overlay/$part/upper,workdir=/run/overlay/$part/work /$part
done
# apt-get is quicker when it knows of no other packages.
mount -t tmpfs tmpfs /var/lib/apt/lists
rm -f /var/cache/apt/*.bin
echo ready
exec sleep infinity`,
  ]);
  await host.waitFor(({ stdout }) => stdout.includes("ready") || null);
  // invoke-rc.d starts nothing where there is no init system, and no runlevel.
  await sh(`rm -f ${policy} /usr/sbin/runlevel
[ -e /sbin/init ] || ln -s /bin/true /sbin/init
printf '#!/bin/sh\\necho N 2\\n' >/usr/sbin/runlevel
chmod 755 /usr/sbin/runlevel`);
});
afterEach(() => host.stop());

/**
 * A systemd that runs, as far as maintainer scripts can tell: /var/trace says what it is told, but
 * offline, as ever.
 */
async function pretendSystemd(): Promise<void> {
  await sh(`mkdir -p /run/systemd/system
mv /usr/bin/systemctl /usr/bin/systemctl.real
cat >/usr/bin/systemctl <<'END'
#!/bin/sh
case "$*" in
  *daemon-reload* | *start*) [ "\${SYSTEMD_OFFLINE:-}" = 1 ] || echo "systemctl $*" >>/var/trace ;;
  *is-active*) exit 3 ;;
  *is-enabled*) SYSTEMD_OFFLINE=1 exec systemctl.real "$@" ;;
  *) exec systemctl.real "$@" ;;
esac
END
chmod 755 /usr/bin/systemctl`);
}

const enabled = async (): Promise<string[]> =>
  (await sh("find /etc/systemd /etc/rc[2-5S].d -type l -path '*ilm-test-*' ! -name 'K*' | sort"))
    .split("\n")
    .filter((line) => line !== "");
const trace = async (): Promise<string> => await sh("cat /var/trace 2>/dev/null || true");
const install = async (...files: string[]): Promise<string> =>
  await sh([installer, ...files].join(" "));
const allowing = "printf '#!/bin/sh\\necho asked >>/var/asked\\nexit 104\\n'";

async function expectNothingOfOurs(): Promise<void> {
  expect(await sh("dpkg-query -Wf '${Status}' ilm-test-ours")).toBe("install ok installed");
  expect((await enabled()).filter((link) => link.includes("ours"))).toEqual([]);
  expect(await sh(`ls -d ${policy}.* /var/lib/ilm-setup 2>/dev/null || true`)).toBe("");
}

test.each([
  ["without systemd", "ilm-test-ours start\n", async () => undefined],
  ["with systemd", " start ilm-test-ours.service ilm-test-ours.socket", pretendSystemd],
])("%s, dpkg alone starts and enables the package's services", async (_, started, prepare) => {
  await prepare();
  await sh(`dpkg --install ${ours} >/dev/null 2>&1`);
  expect(await trace()).toContain(started);
  expect(await enabled()).toHaveLength(8);
});

test("without a policy for services, none is started or enabled, and an upgrade without us keeps it so", async () => {
  await install(ours);
  await expectNothingOfOurs();
  expect(await trace()).toBe("");
  expect(await sh(`ls ${policy} 2>/dev/null || true`)).toBe("");

  await sh(`dpkg --install ${oursLater} >/dev/null 2>&1`);
  await expectNothingOfOurs();
});

test("a policy that allows services is not asked, and systemd only told to look at its units again", async () => {
  await pretendSystemd();
  await sh(`${allowing} >/usr/sbin/policy && chmod 750 /usr/sbin/policy && ln -s policy ${policy}`);
  expect(await install(ours)).toContain(
    "setup: not enabled, although the packages would: ilm-test-ours",
  );
  await expectNothingOfOurs();
  expect(await trace()).toBe("systemctl daemon-reload\n");
  expect(await sh("cat /var/asked 2>/dev/null || true")).toBe("");
  expect(await sh(`readlink ${policy}; stat -c %a /usr/sbin/policy`)).toBe("policy\n750\n");
});

test("services of others stay enabled, also when their package is upgraded at the same time", async () => {
  await sh(`dpkg --install ${theirs[0]} >/dev/null 2>&1
ln -s /usr/lib/systemd/system/ilm-test-theirs.service /etc/systemd/system/ilm-test-admin.service
rm /var/trace`);
  const before = await enabled();
  expect(before).toHaveLength(9);
  await install(ours, theirs[1] ?? "");
  await expectNothingOfOurs();
  expect(await sh("dpkg-query -Wf '${Version}' ilm-test-theirs")).toBe("2");
  expect(await enabled()).toEqual(before);
  expect(await trace()).toBe("");
});

test("a package that is not asked about leaves no process and nothing in the network", async () => {
  await pretendSystemd();
  const network = await readlink("/proc/self/ns/net");
  await install(rude);
  expect(await sh("cat /var/rude-links")).toContain("ilm-rude2");
  expect(await sh("ip -o link")).not.toContain("ilm-rude");
  expect((await run(["pgrep", "-f", "sleep 1000042"])).stdout).toBe("");
  expect(await trace()).toBe("systemctl daemon-reload\n");
  expect(await readlink("/proc/self/ns/net")).toBe(network);
});

test("without CAP_SYS_ADMIN, as in a container, services are neither started nor enabled", async () => {
  await pretendSystemd();
  await sh(`setpriv --bounding-set=-sys_admin ${installer} ${ours}`);
  await expectNothingOfOurs();
  expect(await trace()).toBe("systemctl daemon-reload\n");
});

test("a policy that a killed run left decides what the host's own does, and the next run puts all right", async () => {
  await sh(`printf '#!/bin/sh\\nexit 103\\n' >${policy}; chmod 755 ${policy}`);
  const killed = new Background(onHost(`exec ${installer} ${stuck}`));
  const decision = async (): Promise<number | null> =>
    (await run(onHost(`${policy} x start`))).status;
  await sh("until [ -s /var/stuck ]; do sleep 0.1; done");
  expect(await decision()).toBe(101);
  killed.signal("SIGKILL");
  // All else in its namespace ends with it.
  await must(["pkill", "-9", "-f", `^apt-get .*${stuck}`]);
  await killed.exited;
  // Not before apt-get has ended is the lock free.
  await sh("flock /run/ilm-setup.lock true");
  expect(await decision()).toBe(103);
  expect(await enabled()).not.toEqual([]);

  await sh(installer);
  expect(await enabled()).toEqual([]);
  expect(await sh(`cat ${policy}; ls -d ${policy}.* /var/lib/ilm-setup 2>/dev/null || true`)).toBe(
    "#!/bin/sh\nexit 103\n",
  );
});
