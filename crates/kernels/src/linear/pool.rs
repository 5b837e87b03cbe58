//! The thread pool of the linear layers. The thread that calls the pool takes part in the work.
//!
//! The model computes about a hundred matrix products per token, each of which takes tens of
//! microseconds. Distributing the work must therefore cost about a microsecond. For this reason,
//! idle threads poll a counter briefly before they sleep. An unused pool takes no CPU time.

use std::cell::UnsafeCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use super::KernelFamily;
use super::activations::Activations;

/// How long a thread polls for work before it sleeps. This is longer than the pause between two
/// layers.
const SPIN_TIME: Duration = Duration::from_micros(200);
/// How many times the caller checks whether all units are finished before it starts to yield its
/// processor to other threads.
const SPINS: usize = 2_000;

/// A thread pool, together with the kernel family that the threads use.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    sleepers: Vec<Thread>,
    family: KernelFamily,
    /// A lock that is held by the caller whose task the threads are running.
    turn: Mutex<()>,
    /// The buffers for the quantized inputs of two consecutive products, retained to avoid
    /// allocations.
    scratch: Mutex<[Activations; 2]>,
}

type Task<'a> = &'a (dyn Fn(usize) + Sync);

struct Shared {
    /// The number of tasks so far. A worker starts to work when this number changes.
    count: AtomicUsize,
    task: UnsafeCell<Option<Task<'static>>>,
    /// The range of units of each thread. The first range belongs to the caller.
    ranges: Vec<Units>,
    /// The number of finished units of the current task.
    done: AtomicUsize,
    asleep: Vec<AtomicBool>,
    panicked: AtomicBool,
    closing: AtomicBool,
}

// SAFETY: `task` is written only while no unit can be claimed, and read only by threads that
// claimed one.
unsafe impl Sync for Shared {}

/// A range of units, each of which is claimed only once. The upper 32 bits contain the end of the
/// range, the lower 32 bits the next unit. Each range has a cache line of its own.
#[repr(align(64))]
#[derive(Default)]
struct Units(AtomicU64);

impl Units {
    fn set(&self, range: Range<usize>) {
        self.0.store(
            (range.end as u64) << 32 | range.start as u64,
            Ordering::Release,
        );
    }

    fn claim(&self) -> Option<usize> {
        let units = self.0.fetch_add(1, Ordering::AcqRel);
        let (next, end) = (units & 0xffff_ffff, units >> 32);
        (next < end).then_some(next as usize)
    }
}

impl Pool {
    /// Creates a pool of `threads` threads, including the caller, with the best kernel family that
    /// this processor supports.
    pub fn new(threads: usize) -> Pool {
        Pool::with_family(threads, KernelFamily::best())
    }

    /// Creates a pool like [`Pool::new`], but with the kernel family `family` if the processor
    /// supports it.
    pub fn with_family(threads: usize, family: KernelFamily) -> Pool {
        let others = threads.max(1) - 1;
        let shared = Arc::new(Shared {
            count: AtomicUsize::new(0),
            task: UnsafeCell::new(None),
            ranges: (0..=others).map(|_| Units::default()).collect(),
            done: AtomicUsize::new(0),
            asleep: (0..others).map(|_| AtomicBool::new(false)).collect(),
            panicked: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        });
        let spawn = |index| {
            let shared = Arc::clone(&shared);
            let name = format!("linear {}", index + 1);
            std::thread::Builder::new()
                .name(name)
                .spawn(move || worker_loop(&shared, index))
        };
        // A system that refuses a thread gets a smaller pool.
        let workers: Vec<JoinHandle<()>> =
            (0..others).map_while(|index| spawn(index).ok()).collect();
        let sleepers = workers
            .iter()
            .map(|worker| worker.thread().clone())
            .collect();
        let family = if family.is_supported() {
            family
        } else {
            KernelFamily::best()
        };
        Pool {
            shared,
            workers,
            sleepers,
            family,
            turn: Mutex::default(),
            scratch: Mutex::default(),
        }
    }

    /// The number of threads, including the caller.
    #[inline]
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// The kernel family that the threads use.
    #[inline]
    pub fn family(&self) -> KernelFamily {
        self.family
    }

    /// Calls `task` once for each unit from 0 to `units - 1`, on the pool's threads, and returns
    /// when all units are done.
    ///
    /// Each thread first works on its own range of units and then helps the other threads. Thus the
    /// caller never waits for a thread that the system has not scheduled. A task must not use the
    /// pool on which it runs.
    pub fn run(&self, units: usize, task: Task<'_>) {
        if self.workers.is_empty() || units < 2 {
            return (0..units).for_each(task);
        }
        let _turn = lock(&self.turn);
        // SAFETY: the reference is used only for claimed units, and the code below waits for all of
        // them.
        let task = unsafe { std::mem::transmute::<Task<'_>, Task<'static>>(task) };
        // SAFETY: this thread holds the turn and no unit is left, so no other thread reads the
        // task.
        unsafe { *self.shared.task.get() = Some(task) };
        self.shared.done.store(0, Ordering::Relaxed);
        let threads = self.threads();
        for (thread, range) in self.shared.ranges[..threads].iter().enumerate() {
            range.set(units * thread / threads..units * (thread + 1) / threads);
        }
        self.wake_workers();
        self.shared.work(0);
        let mut spins = 0;
        while self.shared.done.load(Ordering::Acquire) != units {
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop()
            } else {
                std::thread::yield_now()
            }
        }
        assert!(
            !self.shared.panicked.swap(false, Ordering::Relaxed),
            "a task of the pool panicked"
        );
    }

    /// Calls `work` once for each of `parts`, on the pool's threads.
    pub fn each<T: Send>(&self, parts: Vec<T>, work: impl Fn(T) + Sync) {
        let parts: Vec<Mutex<Option<T>>> = parts
            .into_iter()
            .map(|part| Mutex::new(Some(part)))
            .collect();
        self.run(parts.len(), &|index| {
            if let Some(part) = lock(&parts[index]).take() {
                work(part);
            }
        });
    }

    pub(super) fn scratch(&self) -> MutexGuard<'_, [Activations; 2]> {
        lock(&self.scratch)
    }

    /// Tells the workers that there is a new task, and wakes the workers that are asleep.
    fn wake_workers(&self) {
        self.shared.count.fetch_add(1, Ordering::SeqCst);
        for (asleep, sleeper) in self.shared.asleep.iter().zip(&self.sleepers) {
            if asleep.swap(false, Ordering::SeqCst) {
                sleeper.unpark();
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        self.wake_workers();
        for worker in self.workers.drain(..) {
            // A worker catches its tasks' panics, so there is nothing to report here.
            let _ = worker.join();
        }
    }
}

impl Shared {
    /// Works on the current task until no unit is left. The units of thread `thread` come first.
    fn work(&self, thread: usize) {
        let (before, from) = self.ranges.split_at(thread);
        for range in from.iter().chain(before) {
            while let Some(unit) = range.claim() {
                // SAFETY: the unit is claimed, so the task is set and stays until the unit is done.
                if let Some(task) = unsafe { *self.task.get() }
                    && catch_unwind(AssertUnwindSafe(|| task(unit))).is_err()
                {
                    self.panicked.store(true, Ordering::Relaxed);
                }
                self.done.fetch_add(1, Ordering::Release);
            }
        }
    }
}

/// The loop of a worker thread: works on each new task until the pool closes.
fn worker_loop(shared: &Shared, index: usize) {
    let mut seen = 0;
    while !shared.closing.load(Ordering::Relaxed) {
        seen = wait(shared, index, seen);
        shared.work(index + 1);
    }
}

/// Waits until the number of tasks differs from `seen`, and returns the new number.
fn wait(shared: &Shared, index: usize, seen: usize) -> usize {
    let start = Instant::now();
    loop {
        for _ in 0..64 {
            let count = shared.count.load(Ordering::Acquire);
            if count != seen {
                return count;
            }
            std::hint::spin_loop();
        }
        if start.elapsed() > SPIN_TIME {
            sleep(shared, index, seen);
        }
    }
}

/// Sleeps until the number of tasks differs from `seen`.
fn sleep(shared: &Shared, index: usize, seen: usize) {
    let asleep = &shared.asleep[index];
    loop {
        // Set before each check, so that a new task is either seen or wakes this thread: a late
        // wake-up for an earlier task may have cleared it.
        asleep.store(true, Ordering::SeqCst);
        if shared.count.load(Ordering::SeqCst) != seen {
            return asleep.store(false, Ordering::SeqCst);
        }
        std::thread::park();
    }
}

/// Locks a mutex even if a thread panicked while it held the lock, since such a panic cannot leave
/// the data inconsistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_done_once() {
        for threads in 1..5 {
            let pool = Pool::new(threads);
            for units in 0..200 {
                let calls: Vec<AtomicUsize> = (0..units).map(|_| AtomicUsize::new(0)).collect();
                pool.run(units, &|unit| {
                    calls[unit].fetch_add(1, Ordering::Relaxed);
                });
                assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn every_part_is_worked_on_once() {
        let mut values = vec![0; 1000];
        Pool::new(3).each(values.iter_mut().collect(), |value| *value += 1);
        assert!(values.iter().all(|&value| value == 1));
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(2);
        for bad in 0..4 {
            let run = || pool.run(4, &|unit| assert_ne!(unit, bad));
            assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        }
        pool.run(4, &|_| {});
    }
}
