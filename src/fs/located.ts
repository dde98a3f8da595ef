import { BtrfsError, CorruptError, UnsupportedError, type Where } from "../errors.ts";

/** `error` with what it does not know of the place: low layers know addresses only. What is no `BtrfsError` stays as it is. */
export function located(error: unknown, where: Where): unknown {
  if (!(error instanceof BtrfsError)) return error;
  const all = { ...where, ...error.where };
  const { sentence, code, cause } = error;
  if (error instanceof CorruptError) {
    return new CorruptError(sentence, all, { code: code as "corrupt" | "checksum" | "truncated", cause });
  }
  if (error instanceof UnsupportedError) return new UnsupportedError(sentence, all, cause);
  return new BtrfsError(code, sentence, { where: all, cause });
}
