/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tells a look-up for a packet from one that a process asks for. The kernel receives packets with
 * softirqs disabled, or in one (net/core/dev.c); net/ipv4/inet_diag.c, inet_diag_find_one_icsk,
 * which any user can have run with addresses of their choice, is called with softirqs enabled.
 */
#ifndef ILM_SOFTIRQ_H
#define ILM_SOFTIRQ_H

#include "kernel.h"

/* x86 up to Linux 6.1, and since 6.15. */
extern const int __preempt_count __ksym __weak;

/* x86 from Linux 6.2 to 6.14. The name of the type has to be the kernel's. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct pcpu_hot {
	int preempt_count;
};

/* Elsewhere, arm64 for one. */
struct thread_info {
	__u64 preempt_count;
};

/* With CONFIG_PREEMPT_RT, which counts softirqs apart. */
struct task_struct___softirq {
	struct thread_info thread_info;
	int softirq_disable_cnt;
};

#pragma clang attribute pop

extern const struct pcpu_hot pcpu_hot __ksym __weak;

/* SOFTIRQ_MASK | HARDIRQ_MASK (include/linux/preempt.h). */
#define INTERRUPTS 0xfff00

/*
 * Is this the kernel receiving a packet? True where that cannot be told: the control plane renames
 * symbols that the running kernel does not give addresses of (src/kernel/bpf/symbols.ts).
 */
static __always_inline bool receives(void)
{
	const struct task_struct___softirq *task;

	task = (const void *)bpf_get_current_task_btf();
	if (bpf_core_field_exists(task->softirq_disable_cnt))
		return task->softirq_disable_cnt & INTERRUPTS;
	if (bpf_core_field_exists(task->thread_info.preempt_count))
		return task->thread_info.preempt_count & INTERRUPTS;
	if (&__preempt_count)
		return *(const int *)bpf_this_cpu_ptr(&__preempt_count) & INTERRUPTS;
	if (&pcpu_hot)
		return ((const struct pcpu_hot *)bpf_this_cpu_ptr(&pcpu_hot))->preempt_count & INTERRUPTS;
	return true;
}

#endif
