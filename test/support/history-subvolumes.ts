import { toBytes } from "../../src/bytes/bytes.ts";
import * as edit from "../../src/edit/index.ts";
import { pickDirectory, type Step } from "./history-step.ts";

/** Above this, one is deleted for each that comes. */
const MAX_SUBVOLUMES = 12;

export async function subvolume(step: Step): Promise<void> {
  const { at, model } = step;
  const { inode, directory } = await pickDirectory(step);
  const name = step.newName();
  const id = await edit.createSubvolume(at, inode, toBytes(name));
  step.note(`${id}`);
  model.add(id);
  directory.entries.set(name, { kind: "subvolume", id });
  await keepFew(step);
}

export async function snapshot(step: Step): Promise<void> {
  const { at, model, random } = step;
  const { inode, directory } = await pickDirectory(step);
  const source = random.pick([...model.subvolumes.keys()]);
  const readOnly = random.chance(40);
  const name = step.newName();
  const id = await edit.snapshotSubvolume(at, source, inode, toBytes(name), { readOnly });
  step.note(`of ${source}: ${id}${readOnly ? ", read-only" : ""}`);
  model.snapshot(source, id, readOnly);
  directory.entries.set(name, { kind: "subvolume", id });
  await keepFew(step);
}

export async function deleteSubvolume(step: Step): Promise<void> {
  const { at, model, random } = step;
  const free = model.deletable();
  if (free.length === 0) return;
  const { directory, name, id } = random.pick(free);
  const now = random.chance(60);
  step.note(`subvolume ${id}, ${now ? "now" : "lazily"}`);
  await edit.deleteSubvolume(at, id, { now });
  directory.entries.delete(name);
  model.subvolumes.delete(id);
}

export async function setDefault(step: Step): Promise<void> {
  const id = step.random.pick([...step.model.subvolumes.keys()]);
  step.note(`${id}`);
  await edit.setDefaultSubvolume(step.at, id);
  step.model.defaultSubvolume = id;
}

export async function setReadOnly(step: Step): Promise<void> {
  const { at, model, random } = step;
  const others = [...model.subvolumes.values()].filter(({ id }) => id !== 5n);
  if (others.length === 0) return;
  const changed = random.pick(others);
  changed.readOnly = !changed.readOnly;
  step.note(`${changed.id} ${changed.readOnly}`);
  await edit.setReadOnly(at, changed.id, changed.readOnly);
}

async function keepFew(step: Step): Promise<void> {
  if (step.model.subvolumes.size > MAX_SUBVOLUMES) await deleteSubvolume(step);
}
