/** Names of the bits that are set in `flags`, in the order of `names`; the others together as one hexadecimal number. */
export function flagNames(flags: bigint, names: readonly (readonly [bigint, string])[]): string[] {
  const found = names.filter(([bit]) => (flags & bit) !== 0n);
  const rest = found.reduce((left, [bit]) => left & ~bit, flags);
  return [...found.map(([, name]) => name), ...(rest === 0n ? [] : [`0x${rest.toString(16)}`])];
}
