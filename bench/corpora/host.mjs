// The machine's own btrfs: loop images, mounts, sends. Whatever is mounted here is unmounted again, also after a failure.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmdirSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isInstalled } from "../benchmark.mjs";
import { Unavailable } from "../measure.mjs";

/** @type {Set<string>} */
const mounted = new Set();
let mounts = 0;

/**
 * @param {string} program
 * @param {readonly string[]} args
 */
export function sh(program, ...args) {
  const { status, stderr, error, signal } = spawnSync(program, args, {
    encoding: "utf8",
    stdio: ["ignore", "ignore", "pipe"],
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} gave ${status ?? signal}: ${stderr}`);
}

/** @throws {Unavailable} where this machine cannot mount btrfs */
export function needBtrfs() {
  if (process.getuid?.() !== 0) throw new Unavailable("making this corpus mounts a btrfs, which needs root");
  if (!isInstalled("mkfs.btrfs")) throw new Unavailable("making this corpus needs btrfs-progs");
  if (!/\bbtrfs$/m.test(readFileSync("/proc/filesystems", "utf8"))) sh("modprobe", "btrfs");
}

/**
 * A new sparse image with an empty btrfs.
 *
 * @param {string} image
 * @param {number} bytes
 * @param {readonly string[]} options of mkfs.btrfs
 */
export function makeImage(image, bytes, ...options) {
  needBtrfs();
  writeFileSync(image, "");
  truncateSync(image, bytes);
  sh("mkfs.btrfs", "-q", ...options, image);
}

/**
 * Mounts, does the work, unmounts.
 *
 * @template T
 * @param {readonly string[]} args of mount, without the mount point
 * @param {(root: string) => T} work
 * @returns {T}
 */
export function onMount(args, work) {
  const root = mount(args);
  try {
    return work(root);
  } finally {
    unmount(root);
  }
}

/**
 * @param {readonly string[]} args of mount, without the mount point
 * @param {string} root the mount point, made anew
 */
export function mount(args, root = join(tmpdir(), `btrkit-bench-${process.pid}-${++mounts}`)) {
  if (process.getuid?.() !== 0) throw new Unavailable("mounting needs root");
  mkdirSync(root);
  sh("mount", ...args, root);
  mounted.add(root);
  return root;
}

/** @param {string} root */
export function unmount(root) {
  sh("umount", root);
  mounted.delete(root);
  rmdirSync(root);
}

/** Unmounts what a failure has left. */
export function cleanUp() {
  for (const root of mounted) unmount(root);
}

/**
 * @param {string} file
 * @param {readonly string[]} args of `btrfs send`
 */
export function send(file, ...args) {
  sh("btrfs", "-q", "send", "-f", file, ...args);
}

/**
 * @param {string} root
 * @param {string} from subvolume
 * @param {string} to snapshot
 */
export function snapshot(root, from, to) {
  sh("btrfs", "subvolume", "snapshot", "-r", join(root, from), join(root, to));
  sh("btrfs", "filesystem", "sync", root);
}

/**
 * @param {string} root
 * @param {string} name
 */
export function subvolume(root, name) {
  const path = join(root, name);
  sh("btrfs", "subvolume", "create", path);
  mkdirSync(path, { recursive: true });
  return path;
}
