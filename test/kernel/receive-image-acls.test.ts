import { join } from "node:path";
import { expect, test } from "vitest";
import { makeFilesystem } from "../../src/mkfs/mkfs.ts";
import { openFileDevice } from "../../src/node/file-device.ts";
import { FileSource } from "../../src/node/file-source.ts";
import { ImageTarget } from "../../src/receive/image-target.ts";
import { receive } from "../../src/receive/receive.ts";
import { openWritableVolume } from "../../src/transaction/writable.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { describeKernel } from "./support/host.ts";
import { peerReceive, peerSend } from "./support/peer.ts";
import { run } from "./support/run.ts";
import { treeDifferences, treeOf } from "./support/tree.ts";
import { WrittenImage } from "./support/written.ts";

const ACL = "0x0200000001000700ffffffff02000700e803000004000500ffffffff10000700ffffffff20000500ffffffff";
const MAKE = `
mkdir sub; touch sub/file; mkfifo sub/fifo; ln -s file sub/link; touch owned; setfattr -x system.posix_acl_access owned; chmod 600 owned
mkdir bare; setfattr -x system.posix_acl_default bare; setfattr -x system.posix_acl_access bare; touch bare/file
setfattr -n system.posix_acl_access -v ${ACL} bare/file`;

describeKernel("receive into an image: ACLs", () => {
  test("are those that were sent, also below a top with a default ACL, where btrfs receive adds some", async () => {
    await using source = await TestFilesystem.make();
    const live = join(source.directory, "live");
    const one = join(source.directory, "one");
    await run("btrfs", ["-q", "subvolume", "create", live]);
    await run("setfattr", ["-n", "system.posix_acl_default", "-v", ACL, live]);
    await run("sh", ["-ec", `cd "$1"; ${MAKE}`, "sh", live]);
    await run("btrfs", ["-q", "subvolume", "snapshot", "-r", live, one]);
    const stream = join(source.work, "stream");
    await peerSend([one], stream);
    const sent = await treeOf(one);
    expect(sent.filter(({ xattrs }) => JSON.stringify(xattrs ?? {}).includes("posix_acl")).length).toBeGreaterThan(3);

    await using image = new WrittenImage(256);
    await image.open((store) => makeFilesystem(store));
    {
      await using volume = await openWritableVolume([await openFileDevice(image.path, { writable: true })]);
      using input = await FileSource.open(stream);
      await receive(input, new ImageTarget(volume));
    }
    await image.check();
    await image.mounted(async (directory) => {
      expect(treeDifferences(await treeOf(join(directory, "one")), sent, ["data"])).toEqual([]);
    });

    await using other = await TestFilesystem.make();
    await peerReceive(stream, other.directory);
    const peers = treeDifferences(await treeOf(join(other.directory, "one")), sent, ["data"]);
    expect(peers.some((difference) => difference.includes('"bare"') && difference.includes("posix_acl_default"))).toBe(
      true,
    );
  });
});
