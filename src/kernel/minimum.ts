/**
 * The oldest kernel that was tried (docs/kernels.md). By its parts it would be 5.18, which knows
 * IFA_PROTO.
 */
export const MINIMUM_KERNEL = [6, 1] as const;
