/** What btrfs can hold of the system's namespace, and all of the other namespaces. */
const HELD = /^(user\.|trusted\.|security\.|btrfs\.|system\.posix_acl_(access|default)$)/;

/** Whether btrfs can hold an extended attribute of this name, which begins with its namespace. */
export function isHeldXattr(shownName: string): boolean {
  return HELD.test(shownName);
}
