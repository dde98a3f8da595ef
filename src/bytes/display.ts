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

/** `displayName` of many names: those that stand for themselves, as most do, are made strings of together. */
export function displayNames(names: readonly Uint8Array[]): string[] {
  const texts: string[] = [];
  const together = new Uint8Array(TOGETHER_BYTES);
  for (let first = 0; first < names.length; ) {
    let length = 0;
    let last = first;
    for (; last < names.length && length + names[last]!.byteLength <= TOGETHER_BYTES; last++) {
      together.set(names[last]!, length);
      length += names[last]!.byteLength;
    }
    const all = together.subarray(0, length);
    if (last === first || !isPlain(all)) {
      last = Math.max(last, first + 1);
      while (first < last) texts.push(displayName(names[first++]!));
      continue;
    }
    const text = decoder.decode(all);
    for (let at = 0; first < last; first++) {
      const end = at + names[first]!.byteLength;
      texts.push(text.slice(at, end));
      at = end;
    }
  }
  return texts;
}

/** As long as arguments of a call may safely be. */
const MAX_PLAIN_BYTES = 4096;

/** Whether all bytes are ASCII and stand for themselves, as those of most names: lists are long. */
function isPlain(name: Uint8Array): boolean {
  for (let at = 0; at < name.byteLength; at++) {
    const byte = name[at]!;
    if (byte < 0x20 || byte > 0x7e || byte === 0x5c) return false;
  }
  return true;
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
