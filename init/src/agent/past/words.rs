//! What a broken kernel said last, as pstore keeps it: one file per part, newest part first.
//!
//! Each part begins with a line of the kernel's about itself (`Panic#1 Part2`). Of a boot that broke all
//! is shown; of one that ended in order (`Shutdown#1`) only what PID 1 had to say about itself
//! (`supervisor::succession::last_words`). Pure; `task` reads and removes the files.

/// Lines that are shown of one boot's words at most: the last ones, since the end is what matters.
const LINES_MAX: usize = 200;

/// How the kernel heads a log that it wrote when it ended as it was asked to.
const ORDERLY: &str = "Shutdown#";
/// How PID 1 begins what it has to say about itself.
const OURS: &str = "slipway: ";

/// The last words in `parts` (name and text each), oldest line first.
pub(super) fn lines(mut parts: Vec<(String, String)>) -> Vec<String> {
    // dmesg-erst-7 holds what was said before dmesg-erst-6: parts are written from the log's end on.
    parts.sort_by_key(|(name, _)| std::cmp::Reverse(number(name)));
    let lines = parts.iter().flat_map(|(_, text)| {
        let orderly = text.lines().next().is_some_and(|heading| heading.starts_with(ORDERLY));
        text.lines().filter(move |line| if orderly { line.contains(OURS) } else { !is_heading(line) })
    });
    let lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.into_iter().rev().take(LINES_MAX).rev().collect()
}

fn number(name: &str) -> u64 {
    let digits: String = name.chars().rev().take_while(char::is_ascii_digit).collect();
    digits.chars().rev().collect::<String>().parse().unwrap_or(0)
}

/// `Panic#1 Part2`, and the like.
fn is_heading(line: &str) -> bool {
    line.split_once('#').is_some_and(|(kind, rest)| {
        kind.chars().all(|c| c.is_ascii_alphabetic() || c == ' ') && rest.contains(" Part")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_put_in_the_order_in_which_they_were_said() {
        let part = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let parts = vec![
            part("dmesg-erst-1", "Panic#1 Part1\n<4>third\n<0>fourth # Part of it\n"),
            part("dmesg-erst-10", "Panic#1 Part2\n<6>first\n<6>second\n"),
        ];
        assert_eq!(lines(parts), ["<6>first", "<6>second", "<4>third", "<0>fourth # Part of it"]);
        assert_eq!(lines(Vec::new()), Vec::<String>::new());
    }

    #[test]
    fn of_an_orderly_end_only_what_pid_1_said_about_itself_is_shown() {
        let text = "Shutdown#1 Part1\n<6>eth0: up\n<12>slipway: PID 1 has faulted too often\n<0>reboot: Restarting\n";
        let parts = vec![("dmesg-ramoops-0".to_owned(), text.to_owned())];
        assert_eq!(lines(parts), ["<12>slipway: PID 1 has faulted too often"]);
    }

    #[test]
    fn of_many_lines_the_last_are_shown() {
        let text: String = (0..1000).map(|n| format!("{n}\n")).collect();
        let lines = lines(vec![("pmsg-ramoops-0".to_owned(), text)]);
        assert_eq!((lines.len(), lines.last().map(String::as_str)), (LINES_MAX, Some("999")));
    }
}
