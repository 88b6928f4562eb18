//! News of services in the words of the console: people read them, the lab parses them.
//!
//! One line per event, in the grammar of [`crate::console`]; here is only the text after the
//! subject.

use std::time::Duration;

use super::state::{Ending, News};

/// The news as a line's text.
#[must_use]
pub fn text(news: &News) -> String {
    match news {
        News::Starting => "starting".to_owned(),
        News::Ready(after) => format!("ready after {}", seconds(*after)),
        News::Ended(how, after, again) => {
            format!("{}, again in {}", ending(how, *after), seconds(*again))
        }
        News::Killing => "did not stop in time, killed".to_owned(),
        News::Lingering => "killed, but still there; waiting for its processes to end".to_owned(),
        News::Stopped => "stopped".to_owned(),
        News::Stuck => "could not be stopped, left behind".to_owned(),
    }
}

fn ending(how: &Ending, after: Duration) -> String {
    match how {
        Ending::Status(status) => format!("exited with status {status} after {}", seconds(after)),
        Ending::Signal(signal) => format!("killed by signal {signal} after {}", seconds(after)),
        Ending::NotStarted(why) => format!("not started: {why}"),
    }
}

/// Seconds with as many places as matter: 0.25 s, 3.2 s, 30 s.
fn seconds(time: Duration) -> String {
    let hundredths = time.as_millis().saturating_add(5).checked_div(10).unwrap_or(0);
    let (whole, rest) = (hundredths.checked_div(100).unwrap_or(0), hundredths.checked_rem(100).unwrap_or(0));
    let places = format!("{rest:02}");
    match places.trim_end_matches('0') {
        "" => format!("{whole} s"),
        places => format!("{whole}.{places} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_says_how_it_came_and_when_it_goes_on() {
        let news =
            |how, again| text(&News::Ended(how, Duration::from_millis(3204), Duration::from_millis(again)));
        assert_eq!(news(Ending::Status(1), 500), "exited with status 1 after 3.2 s, again in 0.5 s");
        assert_eq!(news(Ending::Signal(9), 250), "killed by signal 9 after 3.2 s, again in 0.25 s");
        let why = "reading /run/slipway/args/etcd: No such file or directory".to_owned();
        assert_eq!(
            news(Ending::NotStarted(why), 30_000),
            "not started: reading /run/slipway/args/etcd: No such file or directory, again in 30 s"
        );
    }

    #[test]
    fn readiness_is_told_with_the_time_it_took() {
        assert_eq!(text(&News::Ready(Duration::from_millis(829))), "ready after 0.83 s");
        assert_eq!(text(&News::Ready(Duration::from_millis(996))), "ready after 1 s");
        assert_eq!(text(&News::Ready(Duration::ZERO)), "ready after 0 s");
    }
}
