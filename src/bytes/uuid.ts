import { hex } from "./bytes.ts";

export const UUID_BYTES = 16;

/** The usual text of 16 bytes, in the order in which they are stored. */
export function formatUuid(uuid: Uint8Array): string {
  const digits = hex(uuid);
  return [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20)].join(
    "-",
  );
}

/** @throws {TypeError} unless `text` is 8-4-4-4-12 hexadecimal digits. */
export function parseUuid(text: string): Uint8Array {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) throw new TypeError(`Cannot parse uuid: ${text}`);
  const digits = text.replaceAll("-", "");
  return Uint8Array.from({ length: UUID_BYTES }, (_, index) =>
    Number.parseInt(digits.slice(index * 2, index * 2 + 2), 16),
  );
}

export function isZeroUuid(uuid: Uint8Array): boolean {
  return uuid.every((byte) => byte === 0);
}
