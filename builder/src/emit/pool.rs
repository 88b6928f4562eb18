//! A function over many values by many threads.
//!
//! Threads take the next value when they are done with one, and results have the order of values:
//! how many threads there are, and which is fast, cannot be seen in what comes out.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What `of` makes of each value, in the order of values.
///
/// # Errors
/// A thread died.
pub(super) fn map<T: Sync, R: Send>(
    values: &[T],
    threads: usize,
    of: impl Fn(&T) -> R + Sync,
) -> io::Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((at, value)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| values.get(at).map(|value| (at, value)))
        {
            done.push((at, of(value)));
        }
        done
    };
    let mut results = Vec::with_capacity(values.len());
    std::thread::scope(|scope| -> io::Result<()> {
        let threads: Vec<_> = (0..threads.clamp(1, values.len().max(1))).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            results.extend(thread.join().map_err(|_| io::Error::other("a packing thread died"))?);
        }
        Ok(())
    })?;
    results.sort_by_key(|(at, _)| *at);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_values_whatever_the_number_of_threads() {
        let values: Vec<u32> = (0..1000).collect();
        let expected: Vec<u32> = values.iter().map(|value| value * 2).collect();
        for threads in [0, 1, 2, 7, 2000] {
            assert_eq!(map(&values, threads, |value| value * 2).unwrap(), expected);
        }
        assert!(map(&[], 4, |value: &u32| *value).unwrap().is_empty());
    }
}
