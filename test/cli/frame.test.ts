import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { COMMANDS } from "../../src/cli/commands.ts";
import { btrkit } from "./support.ts";

test("--version prints the version of the package", () => {
  const { version } = JSON.parse(readFileSync(resolve(import.meta.dirname, "../../package.json"), "utf8"));
  expect(btrkit(["--version"])).toMatchObject({ stderr: "", status: 0 });
  expect(btrkit(["--version"]).stdout.toString()).toBe(`btrkit ${version}\n`);
});

test("--help lists every command, and each command's --help has an example", async () => {
  const help = btrkit(["--help"]).stdout.toString();
  for (const { name, load } of COMMANDS) {
    expect(help).toContain(`  ${name} `);
    const { example, usage } = await load();
    const own = btrkit([...name.split(" "), "--help"]);
    expect(own).toMatchObject({ stderr: "", status: 0 });
    expect(own.stdout.toString()).toContain(`Example:\n  ${example}\n`);
    expect(own.stdout.toString()).toContain(`usage: btrkit ${name} ${usage[0]}`);
  }
  // A process for each command: on a busy machine that takes its time.
}, 180_000);

test("wrong words are exit status 2 and point to --help", () => {
  expect(btrkit(["nope"])).toMatchObject({
    status: 2,
    stderr: "btrkit: no command 'nope'\nTry 'btrkit --help' for more information\n",
  });
  expect(btrkit(["completion", "--nope"])).toMatchObject({
    status: 2,
    stderr: "btrkit completion: unrecognized option '--nope'\nTry 'btrkit completion --help' for more information\n",
  });
  expect(btrkit([]).status).toBe(2);
});
