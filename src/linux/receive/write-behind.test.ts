import { expect, test } from "vitest";
import { FakeNative } from "../../../test/support/fake-native.ts";
import { WriteBehind } from "./write-behind.ts";

const EIO = 5;

/** A kernel whose syncs end when they are told to. */
class SlowNative extends FakeNative {
  readonly ends: ((result: number) => void)[] = [];
  readonly open = new Set<number>();

  constructor() {
    super({
      openat2: () => 7,
      openat: () => {
        this.open.add(7);
        return 7;
      },
      close: ([fd]) => (this.open.delete(Number(fd)) ? 0 : -9),
    });
  }

  override callAsync(): Promise<number> {
    return new Promise((resolve) => this.ends.push(resolve));
  }
}

test("each so many bytes are begun to be made durable, one time after the other, and waited for at the end", async () => {
  const native = new SlowNative();
  const behind = new WriteBehind(native, 3, 100);
  behind.add(99);
  expect(native.ends).toHaveLength(0);
  behind.add(1);
  behind.add(500);
  expect(native.ends).toHaveLength(1);
  let isSettled = false;
  const settled = behind.settle().then(() => {
    isSettled = true;
  });
  await new Promise(setImmediate);
  expect([isSettled, native.open.size]).toEqual([false, 1]);
  native.ends[0]!(0);
  await settled;
  expect(native.open.size).toBe(0);
  behind.add(1);
  expect(native.ends).toHaveLength(2);
});

test("what could not be made durable is told at the end, and a directory that can't be opened too", async () => {
  const native = new SlowNative();
  const behind = new WriteBehind(native, 3, 100);
  behind.add(100);
  native.ends[0]!(-EIO);
  await expect(behind.settle()).rejects.toMatchObject({ errno: "EIO", call: "BTRFS_IOC_SYNC" });
  await behind.settle();
  native.answers.openat = -24;
  behind.add(100);
  await expect(behind.settle()).rejects.toMatchObject({ errno: "EMFILE" });
  native.answers.openat = 7;
  behind.add(100);
  expect(native.ends).toHaveLength(2);
});
