/** How long a function may keep a task; the longest first. */
const SLEEPS = ["until an event", "until a lock is free", "for a time"] as const;
export type Sleep = (typeof SLEEPS)[number];

/** A way from a function to one in which it sleeps. */
export interface WayToSleep {
	readonly sleep: Sleep;
	/** Names of the functions, the sleeping one last; the first one is left out. */
	readonly through: readonly string[];
}

/** The way with the longer sleep; of equal ones the first. */
export function longer(a: WayToSleep | undefined, b: WayToSleep): WayToSleep {
	return a === undefined || SLEEPS.indexOf(b.sleep) < SLEEPS.indexOf(a.sleep) ? b : a;
}

/** Functions in which a task sleeps, by name. What they call in turn need not be looked at. */
const SLEEPERS: readonly (readonly [Sleep, string])[] = [
	[
		"until an event",
		`schedule schedule_timeout schedule_timeout_interruptible schedule_timeout_killable schedule_timeout_uninterruptible
		schedule_timeout_idle schedule_hrtimeout schedule_hrtimeout_range schedule_hrtimeout_range_clock io_schedule
		io_schedule_timeout preempt_schedule_irq schedule_idle wait_for_completion wait_for_completion_timeout
		wait_for_completion_io wait_for_completion_io_timeout wait_for_completion_interruptible
		wait_for_completion_interruptible_timeout wait_for_completion_killable wait_for_completion_killable_timeout
		wait_for_completion_state wait_woken do_wait_intr do_wait_intr_irq bit_wait bit_wait_io out_of_line_wait_on_bit
		out_of_line_wait_on_bit_timeout out_of_line_wait_on_bit_lock wait_on_page_bit folio_wait_bit folio_wait_writeback
		folio_wait_stable folio_lock __folio_lock __lock_page __wait_on_buffer __wait_on_bit __wait_on_bit_lock
		flush_work flush_workqueue __flush_workqueue flush_delayed_work cancel_work_sync cancel_delayed_work_sync
		drain_workqueue destroy_workqueue kthread_stop kthread_park kthread_flush_worker kthread_flush_work
		synchronize_rcu synchronize_rcu_expedited synchronize_srcu synchronize_srcu_expedited rcu_barrier synchronize_net
		synchronize_irq disable_irq call_usermodehelper call_usermodehelper_exec request_firmware __request_module
		sock_recvmsg sk_wait_data sk_stream_wait_memory sk_stream_wait_connect inet_csk_accept do_wait kernel_wait4
		sigsuspend do_nanosleep hrtimer_nanosleep do_epoll_wait ep_poll do_select do_sys_poll pipe_wait_readable
		pipe_wait_writable futex_wait futex_wait_queue swake_wait kvm_vcpu_block kernel_sendmsg kernel_recvmsg
		vfs_read vfs_write kernel_read kernel_write __x64_sys_pause`,
	],
	[
		"until a lock is free",
		`mutex_lock mutex_lock_nested mutex_lock_interruptible mutex_lock_interruptible_nested mutex_lock_killable
		mutex_lock_killable_nested mutex_lock_io mutex_lock_io_nested ww_mutex_lock ww_mutex_lock_interruptible
		down down_interruptible down_killable down_timeout down_read down_read_nested down_read_interruptible
		down_read_killable down_read_killable_nested down_write down_write_nested down_write_killable
		down_write_killable_nested rt_mutex_lock rt_mutex_lock_nested rt_mutex_lock_interruptible rt_mutex_lock_killable
		percpu_down_write __percpu_down_read lock_sock_nested __lock_sock cpus_read_lock cpus_write_lock rtnl_lock
		rtnl_lock_killable device_lock console_lock lock_rename iterate_supers lock_two_nondirectories`,
	],
	["for a time", "msleep msleep_interruptible ssleep usleep_range usleep_range_state fsleep wait_for_device_probe"],
];

const BY_NAME: ReadonlyMap<string, Sleep> = new Map(
	SLEEPERS.flatMap(([sleep, names]) => names.split(/\s+/).map((name): [string, Sleep] => [name, sleep])),
);

export function sleepOf(name: string): Sleep | undefined {
	return BY_NAME.get(name);
}

export const SLEEPER_NAMES: readonly string[] = [...BY_NAME.keys()];
