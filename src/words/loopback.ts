/** What was added to lo, and removed from it. */

export function describeAdded(what: string): string {
  return what.includes("/") ? `a local route to ${what} was added` : `${what} was added to lo`;
}

export function describeRemoved(what: string): string {
  return what.includes("/")
    ? `the local route to ${what} was removed`
    : `${what} was removed from lo`;
}
