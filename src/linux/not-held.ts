/** What a host answers that can't hold an attribute, or not from this caller. */
export const NOT_HELD: readonly string[] = ["EPERM", "EACCES", "EOPNOTSUPP", "EINVAL", "ENOSYS", "EOVERFLOW"];

/** And an extended attribute: several filesystems answer ENOSPC or E2BIG for a value that is too long for them. */
export const XATTR_NOT_HELD: readonly string[] = ["ENOSPC", "E2BIG", "ERANGE"];
