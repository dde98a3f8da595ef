import type { DirectoryHost } from "../../src/node/directory-host.ts";
import { hostNameFault } from "../../src/node/host-names.ts";
import { NodeDirectoryHost } from "../../src/node/node-directory-host.ts";
import type { Handle } from "../../src/restore/target.ts";

/** A host that takes names for one that differ in case or in the form of their characters, with the names of Windows. */
export class FoldingHost extends NodeDirectoryHost {
  override nameFault(name: Uint8Array): string | undefined {
    return hostNameFault(name, "win32");
  }

  override below(directory: Handle): DirectoryHost {
    return new FoldingHost(super.pathOf(directory, undefined), this.paths);
  }

  protected override pathOf(directory: Handle, name: Uint8Array | undefined): Buffer {
    return super.pathOf(directory, name === undefined ? undefined : this.#stored(directory, name));
  }

  /** As it is stored, if there is one of the kind. */
  #stored(directory: Handle, name: Uint8Array): Uint8Array {
    const wanted = fold(name);
    return super.list(directory).find((other) => fold(other) === wanted) ?? name;
  }

  override move(fromDirectory: Handle, from: Uint8Array, directory: Handle, name: Uint8Array): void {
    // Such a host stores the new spelling.
    const old = this.#stored(fromDirectory, from);
    if (
      fold(old) === fold(name) &&
      this.stat(fromDirectory, undefined).inode === this.stat(directory, undefined).inode
    ) {
      const plain = new NodeDirectoryHost(super.pathOf(directory, undefined));
      const top = plain.openDirectory(new Uint8Array(0));
      plain.move(top, old, top, name);
      plain.close(top);
      return;
    }
    super.move(fromDirectory, from, directory, name);
  }
}

function fold(name: Uint8Array): string {
  return Buffer.from(name).toString("utf8").normalize("NFC").toLowerCase();
}
