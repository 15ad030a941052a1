/** The only version of the format so far. */
export const VERSION = 1;
