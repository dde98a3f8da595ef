const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * A name or path for people, on one line: as text where it is UTF-8, with `\xNN` for bytes that are not, and for
 * backslashes and control characters, so that no name can write to a terminal what it likes.
 */
export function displayName(name: Uint8Array): string {
  if (name.byteLength <= MAX_PLAIN_BYTES && isPlain(name))
    return String.fromCharCode.apply(undefined, name as unknown as number[]);
  try {
    return escapeControls(decoder.decode(name));
  } catch {
    let text = "";
    for (const byte of name) text += byte < 0x7f ? escapeControls(String.fromCharCode(byte)) : escaped(byte);
    return text;
  }
}

/** So many bytes of names are looked at together. */
const TOGETHER_BYTES = 1 << 16;
/** Made once: most lists are short, and there are many. */
let together: Uint8Array | undefined;

/** `displayName` of many, each with a line end: those that stand for themselves, as most do, are made a string together. */
export function displayLines(entries: readonly { readonly name: Uint8Array }[]): string {
  together ??= new Uint8Array(TOGETHER_BYTES);
  let text = "";
  let length = 0;
  for (const { name } of entries) {
    const end = length + name.byteLength;
    if (end < TOGETHER_BYTES && copyPlain(name, together, length)) {
      together[end] = LINE_END;
      length = end + 1;
    } else {
      text += `${decoder.decode(together.subarray(0, length))}${displayName(name)}\n`;
      length = 0;
    }
  }
  return text + decoder.decode(together.subarray(0, length));
}

const LINE_END = 0x0a;

/** False for a name that does not stand for itself; some of it may have been copied. */
function copyPlain(name: Uint8Array, target: Uint8Array, at: number): boolean {
  for (let index = 0; index < name.byteLength; index++) {
    const byte = name[index]!;
    if (!isPlainByte(byte)) return false;
    target[at + index] = byte;
  }
  return true;
}

/** As long as arguments of a call may safely be. */
const MAX_PLAIN_BYTES = 4096;

/** Whether all bytes are ASCII and stand for themselves, as those of most names: lists are long. */
function isPlain(name: Uint8Array): boolean {
  for (let at = 0; at < name.byteLength; at++) {
    if (!isPlainByte(name[at]!)) return false;
  }
  return true;
}

function isPlainByte(byte: number): boolean {
  return byte >= 0x20 && byte <= 0x7e && byte !== 0x5c;
}

/** The name as a string, when its bytes are UTF-8; otherwise it has no string that would give the same bytes back. */
export function textOf(name: Uint8Array): string | undefined {
  try {
    return decoder.decode(name);
  } catch {
    return undefined;
  }
}

function escapeControls(text: string): string {
  return text.replace(/[\\\p{Cc}\p{Bidi_Control}\ufeff\u2028\u2029]/gu, (character) =>
    character.codePointAt(0)! < 0x100
      ? escaped(character.codePointAt(0)!)
      : `\\u${character.codePointAt(0)!.toString(16)}`,
  );
}

function escaped(byte: number): string {
  return byte === 0x5c ? "\\\\" : `\\x${byte.toString(16).padStart(2, "0")}`;
}
