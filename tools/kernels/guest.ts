/** Runs inside the guest (init starts it): everything that is proven on a kernel, one line each. */
import { release, version } from "node:os";
import { checkKernelLog, runCore } from "./guest-core.js";
import { runModule, runWithModule } from "./guest-module.js";
import { note } from "./report.js";

note("kernel", `${release()} ${version()}`);
await runCore("registry");
await runModule();
await runWithModule(() => runCore("kfunc"));
await checkKernelLog();
note("end", "");
