import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { openDirectoryHost } from "../src/linux/directory-host.ts";
import { DirectoryTarget } from "../src/node/directory-target.ts";
import { NodeDirectoryHost } from "../src/node/node-directory-host.ts";
import { receive } from "../src/receive/receive.ts";
import { describeHostileStreams, type HostilePlace } from "./contract/receive-target.ts";

const base = mkdtempSync(join(tmpdir(), "btrkit-hostile-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));
let count = 0;

/** A plain directory `in`, and `outside` beside it. */
async function place(kind: "linux" | "node"): Promise<HostilePlace> {
  const top = join(base, String(count++));
  const [destination, outside] = [join(top, "in"), join(top, "outside")];
  mkdirSync(destination, { recursive: true });
  mkdirSync(outside);
  writeFileSync(join(outside, "victim"), "victim", { mode: 0o600 });
  const around = () => {
    const { mode, size, mtimeNs, ctimeNs, nlink } = lstatSync(join(outside, "victim"), { bigint: true });
    const names = [readdirSync(top).sort(), readdirSync(outside)];
    return { names, content: readFileSync(join(outside, "victim"), "utf8"), mode, size, mtimeNs, ctimeNs, nlink };
  };
  return {
    outside,
    around,
    receive: async (input) => {
      const opened =
        kind === "node" ? { host: new NodeDirectoryHost(destination), close() {} } : openDirectoryHost(destination);
      const target = await DirectoryTarget.open(opened.host, { path: destination });
      try {
        return await receive(input, target);
      } finally {
        target.close();
        opened.close();
      }
    },
  };
}

if (process.platform === "linux") {
  describeHostileStreams("hostile streams into a plain directory, as Linux can", () => place("linux"));
}
describeHostileStreams("hostile streams into a plain directory, by means of Node", () => place("node"));
