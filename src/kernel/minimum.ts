/**
 * The oldest tested kernel (docs/kernels.md). The features used would need only 5.18, which has
 * IFA_PROTO.
 */
export const MINIMUM_KERNEL = [6, 1] as const;
