//! A list whose encoding is kept at hand, so that little is encoded when little has changed.
//!
//! PID 1 writes all it knows into memory before it makes a process and at the end of a turn. What was not handed out
//! for writing since ([`Remembered::get_mut`]) is as it was, and so are its bytes. The encoding is postcard's of a list.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

use std::ops::Deref;

use serde::Serialize;

/// See above.
#[derive(Debug)]
pub struct Remembered<T> {
    items: Vec<T>,
    touched: Vec<bool>,
    bytes: Vec<u8>,
    /// How many of them are each item's.
    lengths: Vec<usize>,
}

impl<T> Remembered<T> {
    /// All of it has still to be encoded.
    #[must_use]
    pub fn new(items: Vec<T>) -> Self {
        let len = items.len();
        Self { items, touched: vec![true; len], bytes: Vec::new(), lengths: vec![0; len] }
    }

    /// An item that may be changed: it will be encoded again.
    pub fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        *self.touched.get_mut(place)? = true;
        self.items.get_mut(place)
    }

    /// Those that `which` names, to be changed.
    pub fn iter_mut<'a>(&'a mut self, which: impl Fn(&T) -> bool + 'a) -> impl Iterator<Item = &'a mut T> {
        let items = self.items.iter_mut().zip(&mut self.touched);
        items.filter(move |(item, _)| which(item)).map(|(item, touched)| {
            *touched = true;
            item
        })
    }

    /// Adds the list to `bytes`, each item as what `saved` makes of it.
    ///
    /// # Errors
    /// None that values in memory can cause.
    pub fn encode<S: Serialize>(
        &mut self,
        bytes: &mut Vec<u8>,
        saved: impl Fn(&T) -> S,
    ) -> Result<(), postcard::Error> {
        let mut begin: usize = 0;
        for ((item, touched), length) in self.items.iter().zip(&mut self.touched).zip(&mut self.lengths) {
            if *touched {
                let fresh = postcard::to_allocvec(&saved(item))?;
                let old = begin..begin.saturating_add(std::mem::replace(length, fresh.len()));
                self.bytes.splice(old, fresh);
                *touched = false;
            }
            begin = begin.saturating_add(*length);
        }
        bytes.extend(postcard::to_allocvec(&self.items.len())?);
        bytes.extend_from_slice(&self.bytes);
        Ok(())
    }
}

impl<T> Deref for Remembered<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<'a, T> IntoIterator for &'a Remembered<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

impl<T: PartialEq> PartialEq for Remembered<T> {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(list: &mut Remembered<String>) -> Vec<String> {
        let mut bytes = Vec::new();
        list.encode(&mut bytes, String::clone).unwrap();
        postcard::from_bytes(&bytes).unwrap()
    }

    #[test]
    fn what_changes_is_encoded_again_whether_it_grows_or_shrinks() {
        let mut list = Remembered::new(["one", "two", "three"].map(str::to_owned).to_vec());
        assert_eq!(encoded(&mut list), ["one", "two", "three"]);
        for (place, text) in [(1, "a much longer text"), (0, ""), (2, "3"), (1, "x")] {
            text.clone_into(list.get_mut(place).unwrap());
            let expected = list.to_vec();
            assert_eq!(encoded(&mut list), expected);
        }
        list.iter_mut(|text| text == "3").for_each(|text| "2".clone_into(text));
        assert_eq!(encoded(&mut list), ["", "x", "2"]);
    }

    #[test]
    fn what_is_only_read_is_not_encoded_again() {
        let mut list = Remembered::new(vec![1_u8, 2]);
        let mut bytes = Vec::new();
        list.encode(&mut bytes, |item| *item).unwrap();
        assert_eq!(list.iter().sum::<u8>(), 3);
        list.encode(&mut bytes, |_| 9_u8).unwrap();
        assert_eq!(bytes, [2, 1, 2, 2, 1, 2]);
    }
}
