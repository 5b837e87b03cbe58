//! Limits the memory that a library may use for untrusted input, if the library itself has no
//! limit. A chat template, for example, may double a string 40 times.
//!
//! Each computation has its own thread. An allocator must not panic, so a thread that exceeds its
//! budget is put to sleep forever. The sleeping thread uses no more memory than its budget, and the
//! program continues. The limit applies only if [`Allocator`] is the program's global allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// The system's allocator, extended to charge each allocation to the budget of the current thread,
/// if the thread has a budget.
pub struct Allocator;

/// Why a computation has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoResult {
    #[error("it needs more than {0} bytes of memory")]
    OverBudget(usize),
    #[error("it takes longer than {} seconds", .0.as_secs())]
    TooSlow(Duration),
    #[error("its thread could not be started or stopped early")]
    Thread,
}

/// The memory budget of a thread.
#[derive(Clone, Copy)]
struct Budget {
    left: usize,
    /// Whether the thread must stop, either because it has exceeded its budget or because the
    /// caller no longer waits for its result.
    exceeded: &'static AtomicBool,
}

thread_local! {
    static BUDGET: Cell<Option<Budget>> = const { Cell::new(None) };
}

/// The interval at which the caller checks whether a computation has exceeded its budget.
const POLL: Duration = Duration::from_millis(20);

/// Runs `compute` on a new thread that may have at most `bytes` bytes allocated at any moment, and
/// waits at most `time` for the result. If the time runs out, the thread is put to sleep forever at
/// its next allocation.
pub fn within<T: Send + 'static>(
    bytes: usize,
    time: Duration,
    compute: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoResult> {
    // Leaks one byte per computation, to which a sleeping thread may still refer.
    let exceeded: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
    let (done, result) = sync_channel(1);
    let started = thread::Builder::new().spawn(move || {
        let left = bytes;
        BUDGET.set(Some(Budget { left, exceeded }));
        let computed = compute();
        BUDGET.set(None);
        let _ = done.send(computed);
    });
    started.map_err(|_| NoResult::Thread)?;
    let began = Instant::now();
    loop {
        match result.recv_timeout(POLL) {
            Ok(computed) => return Ok(computed),
            Err(RecvTimeoutError::Disconnected) => return Err(NoResult::Thread),
            Err(RecvTimeoutError::Timeout) if exceeded.load(Ordering::Acquire) => {
                return Err(NoResult::OverBudget(bytes));
            }
            Err(RecvTimeoutError::Timeout) if began.elapsed() > time => {
                exceeded.store(true, Ordering::Release);
                return Err(NoResult::TooSlow(time));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Subtracts `size` bytes from the budget of the current thread, if the thread has a budget.
fn charge(size: usize) {
    // A thread that is ending may no longer have a budget.
    let _ = BUDGET.try_with(|budget| {
        let Some(Budget { left, exceeded }) = budget.get() else {
            return;
        };
        let left = left
            .checked_sub(size)
            .filter(|_| !exceeded.load(Ordering::Acquire));
        match left {
            Some(left) => budget.set(Some(Budget { left, exceeded })),
            None => {
                exceeded.store(true, Ordering::Release);
                loop {
                    thread::park();
                }
            }
        }
    });
}

/// Adds `size` freed bytes to the budget of the current thread, if the thread has a budget.
fn refund(size: usize) {
    let _ = BUDGET.try_with(|budget| {
        if let Some(Budget { left, exceeded }) = budget.get() {
            let left = left.saturating_add(size);
            budget.set(Some(Budget { left, exceeded }));
        }
    });
}

// SAFETY: every call is passed to the system's allocator unchanged. `charge` and `refund` allocate
// nothing and do not unwind: the thread-local value needs no initialization and no destructor.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        charge(layout.size());
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        charge(layout.size());
        // SAFETY: the caller upholds the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        charge(size.saturating_sub(layout.size()));
        refund(layout.size().saturating_sub(size));
        // SAFETY: the caller upholds the contract of `realloc`.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        refund(layout.size());
        // SAFETY: the caller upholds the contract of `dealloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: Allocator = Allocator;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_computation_whose_time_is_over_has_no_result() {
        let endless = || -> u8 {
            loop {
                std::hint::black_box(vec![0u8; 10]);
            }
        };
        let short = Duration::from_millis(50);
        assert_eq!(
            within(1 << 20, short, endless),
            Err(NoResult::TooSlow(short))
        );
    }

    #[test]
    fn a_computation_gets_its_budget_and_no_more() {
        let twice = |times: usize| {
            move || {
                let mut text = "ab".to_string();
                for _ in 0..times {
                    text = format!("{text}{text}");
                }
                text.len()
            }
        };
        assert_eq!(within(1 << 20, LONG, twice(10)), Ok(2 << 10));
        assert_eq!(
            within(1 << 20, LONG, twice(40)),
            Err(NoResult::OverBudget(1 << 20))
        );
        // Freed memory can be allocated again.
        let again = || (0..1000).map(|_| vec![0u8; 100_000].len()).sum::<usize>();
        assert_eq!(within(1 << 20, LONG, again), Ok(100_000_000));
        let panics = || -> u8 { std::panic::resume_unwind(Box::new("")) };
        assert_eq!(within(1 << 20, LONG, panics), Err(NoResult::Thread));
    }
}
