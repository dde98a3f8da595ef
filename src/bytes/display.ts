const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * A name or path for people, on one line: as text where it is UTF-8, with `\xNN` for bytes that are not, and for
 * backslashes and control characters, so that no name can write to a terminal what it likes.
 */
export function displayName(name: Uint8Array): string {
  try {
    return escapeControls(decoder.decode(name));
  } catch {
    let text = "";
    for (const byte of name) text += byte < 0x7f ? escapeControls(String.fromCharCode(byte)) : escaped(byte);
    return text;
  }
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
