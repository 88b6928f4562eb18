//! Who reads logs or follows events: each holds a thread of ours, or has PID 1 asked again and again.
//!
//! Places are shared by the names in certificates, which nobody but the authority can make: however many addresses and
//! connections a client has, it leaves room for others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use node_api::limits::{FOLLOWERS_MAX, FOLLOWERS_PER_CLIENT_MAX};

/// Everybody that reads, and how much of it.
#[derive(Debug, Clone, Default)]
pub struct Followers(Arc<Mutex<HashMap<String, usize>>>);

/// A place among them; it is left when this is dropped.
#[derive(Debug)]
pub struct Place {
    followers: Followers,
    client: String,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// For nobody.
    Everybody,
    /// For this client.
    Client,
}

impl Followers {
    /// One place more for `client`.
    ///
    /// # Errors
    /// There is none.
    pub fn enter(&self, client: &str) -> Result<Place, Full> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.values().sum::<usize>() >= FOLLOWERS_MAX {
            return Err(Full::Everybody);
        }
        let own = counts.entry(client.to_owned()).or_default();
        if *own >= FOLLOWERS_PER_CLIENT_MAX {
            return Err(Full::Client);
        }
        *own = own.saturating_add(1);
        Ok(Place { followers: self.clone(), client: client.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.followers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = counts.get_mut(&self.client) {
            *own = own.saturating_sub(1);
        }
        // Who is not there is not remembered.
        counts.retain(|_, own| *own > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_share_and_no_more_and_gets_it_back() {
        let followers = Followers::default();
        let mut held: Vec<Place> =
            (0..FOLLOWERS_PER_CLIENT_MAX).map(|_| followers.enter("ann").unwrap()).collect();
        assert_eq!(followers.enter("ann").unwrap_err(), Full::Client);
        for n in FOLLOWERS_PER_CLIENT_MAX..FOLLOWERS_MAX {
            held.push(followers.enter(&format!("client {}", n / FOLLOWERS_PER_CLIENT_MAX)).unwrap());
        }
        assert_eq!(followers.enter("bob").unwrap_err(), Full::Everybody);
        held.remove(0);
        followers.enter("ann").unwrap();
        drop(held);
        assert!(followers.0.lock().unwrap().is_empty());
    }
}
