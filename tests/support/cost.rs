//! What a piece of work costs: memory, counted by an allocator, and time of the thread that does it.

#![expect(unsafe_code, reason = "an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

/// Counts what a thread allocates. A test binary that measures declares it as its allocator.
pub struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(more: isize) {
    // At the end of a thread there is nothing left to count with.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + more);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
    let _ = ALLOCATED.try_with(|allocated| allocated.set(allocated.get() + more.max(0) as usize));
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub allocated: usize,
    /// The most that was in use at once, beyond what was before.
    pub peak: usize,
    pub time: Duration,
}

/// What a piece of work costs this thread.
pub fn of(work: impl FnOnce()) -> Cost {
    let (allocated, live, time) = (ALLOCATED.get(), LIVE.get(), thread_time());
    PEAK.set(live);
    work();
    let time = thread_time().saturating_sub(time);
    Cost { allocated: ALLOCATED.get() - allocated, peak: (PEAK.get() - live) as usize, time }
}

/// How long this thread has run: what others do on the same machine has no part in it.
fn thread_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel's accounting");
    Duration::from_nanos(stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).expect("nanoseconds"))
}

/// The smaller input that is measured, and how many times as large the other is.
const SIZE: usize = 8 * 1024;
const TIMES: usize = 8;

/// Bytes in use for each byte of input, and beside them.
const PEAK_PER_BYTE: usize = 100;
const PEAK_BESIDE: usize = 32 * 1024 * 1024;

/// Fails where eight times the input costs much more than eight times the work. Of two measurements the shorter counts.
#[track_caller]
pub fn is_linear(what: &str, make: fn(usize) -> String, work: impl Fn(&str)) {
    let measure = |size: usize| {
        let input = make(size);
        let costs = [of(|| work(&input)), of(|| work(&input))];
        (input.len(), costs.into_iter().min_by_key(|cost| cost.time).expect("two"))
    };
    let ((few, small), (many, large)) = (measure(SIZE), measure(TIMES * SIZE));
    let allowed = small.allocated * TIMES * 5 / 4 + 4 * 1024 * 1024;
    assert!(
        large.allocated <= allowed,
        "{what}: {} bytes allocated for {few}, {} for {many}",
        small.allocated,
        large.allocated
    );
    let allowed = many * PEAK_PER_BYTE + PEAK_BESIDE;
    assert!(large.peak <= allowed, "{what}: {} bytes in use for {many}", large.peak);
    // Eight times is linear, sixty-four times is not. The kernel counts in ticks: what is this short is not measured.
    let allowed = small.time * 24 + Duration::from_millis(100);
    assert!(large.time <= allowed, "{what}: {:?} for {few}, {:?} for {many}", small.time, large.time);
}

/// Fails where what was fed a megabyte took more than a second or 100 MB; prints the dearest.
pub fn of_a_megabyte(mut costs: Vec<(Cost, String)>) {
    costs.sort_by_key(|(cost, _)| std::cmp::Reverse(cost.time));
    for (cost, what) in costs.iter().take(25) {
        println!("{:>8.1} ms {:>6.1} MB  {what}", cost.time.as_secs_f64() * 1e3, cost.peak as f64 / 1e6);
    }
    costs.sort_by_key(|(cost, _)| std::cmp::Reverse(cost.peak));
    for (cost, what) in costs.iter().take(25) {
        println!("{:>8.1} ms {:>6.1} MB  {what}", cost.time.as_secs_f64() * 1e3, cost.peak as f64 / 1e6);
    }
    for (cost, what) in &costs {
        assert!(cost.time.as_secs_f64() < 1.0 && cost.peak < 100_000_000, "{what}: {cost:?}");
    }
}
