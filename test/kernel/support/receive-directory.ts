import { spawnSync } from "node:child_process";
import { resolve } from "node:path";

const DIST = resolve(import.meta.dirname, "../../../dist");

const PROGRAM = `
const [directory, options, ...streams] = process.argv.slice(1);
const { openDirectoryHost } = await import("${DIST}/linux/directory-host.js");
const { DirectoryTarget } = await import("${DIST}/node/directory-target.js");
const { FileSource } = await import("${DIST}/node/file-source.js");
const { receive } = await import("${DIST}/receive/receive.js");
const { host, close } = openDirectoryHost(directory);
const target = await DirectoryTarget.open(host, { path: directory, ...JSON.parse(options) });
try {
  for (const stream of streams) await receive(await FileSource.open(stream), target);
  console.log(JSON.stringify({ ...target.notHeld, withoutData: target.withoutData, decoded: [...target.encoded.decoded] }));
} catch (error) {
  console.log(JSON.stringify({ error: error.message, code: error.code }));
  if (error.code === undefined) console.error(error);
  process.exitCode = 1;
} finally {
  target.close();
  close();
}
`;

export interface Received {
  readonly status: number | null;
  readonly said: Record<string, unknown>;
  readonly stderr: string;
}

/** Receives streams into a plain directory in a process of its own, as root or as nobody. */
export function receiveDirectory(
  directory: string,
  streams: readonly string[],
  options: { readonly user?: boolean; readonly inPlace?: boolean; readonly strict?: boolean } = {},
): Received {
  const { user, ...rest } = options;
  const node = [process.execPath, "--input-type=module", "-e", PROGRAM, directory, JSON.stringify(rest), ...streams];
  const as = user ? ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] : [];
  const [command, ...args] = [...as, ...node];
  const ran = spawnSync(command!, args, { encoding: "utf8", maxBuffer: 1 << 26 });
  return { status: ran.status, said: JSON.parse(ran.stdout || "{}"), stderr: ran.stderr };
}
